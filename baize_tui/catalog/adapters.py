"""Adapters by name: GGUF LoRAs that are laid over a base while it runs, several over one."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from baize_convert.failures import ConvertError
from baize_convert.hub.names import PREFIX, parse_name
from baize_shared.sanitizer import clean_line
from baize_tui.catalog.recipes import (
    MODEL_SUFFIX,
    CatalogError,
    Described,
    check_name,
    read_toml,
    write_toml,
)
from baize_tui.catalog.shipped import shipped_models
from baize_tui.paths import Paths, private_folder


class AdapterRecipe(Described, frozen=True):
    """The recipe of an adapter; ``file`` or ``adapter`` has its weights."""

    file: str | None = None
    """A GGUF LoRA."""
    adapter: str | None = None
    """``hf:owner/name``, or the folder, of an adapter that PEFT saved."""
    base: str | None = None
    """Name of the model it is for; None is any that it fits."""
    over: str | None = None
    """Name of the adapter that it was trained over, as by SDF: both are laid over the base."""

    def __post_init__(self) -> None:
        if (self.file is None) == (self.adapter is None):
            raise ValueError("give one of file and adapter")
        if self.adapter is not None and self.base is None:
            raise ValueError("adapter needs the name of its base")
        if self.adapter is not None and self.adapter.startswith(PREFIX):
            try:
                parse_name(self.adapter)
            except ConvertError as error:
                raise ValueError(str(error)) from error


class CatalogAdapter(Struct, frozen=True):
    """An adapter by its name; ``path`` is None where its file is not on this machine."""

    name: str
    path: Path | None
    recipe: AdapterRecipe

    @property
    def installed(self) -> bool:
        return self.path is not None

    @property
    def title(self) -> str:
        return self.recipe.title or self.name


def adapter_file(name: str, paths: Paths) -> Path:
    """Where the GGUF LoRA ``name`` lies once it was pulled or copied."""
    return paths.adapters_folder / f"{name}{MODEL_SUFFIX}"


def known_adapters(paths: Paths, base: str | None = None) -> list[CatalogAdapter]:
    """All adapters with a recipe, those that are installed first; with ``base`` those of that model
    and those that do not say."""
    found: dict[str, CatalogAdapter] = {}
    folders = (paths.adapters_folder, paths.recipes_folder / "adapters")
    for folder in (*folders, shipped_models() / "adapters"):
        for file in sorted(folder.glob("*.toml")) if folder.is_dir() else []:
            recipe = read_toml(file, AdapterRecipe)
            if base is not None and recipe.base not in (None, base):
                continue
            path = Path(recipe.file).expanduser() if recipe.file else adapter_file(file.stem, paths)
            there = path if path.is_file() else None
            found.setdefault(file.stem, CatalogAdapter(file.stem, there, recipe))
    return sorted(found.values(), key=lambda adapter: not adapter.installed)


def find_adapter(wanted: str, paths: Paths) -> CatalogAdapter:
    """The adapter with this name, or the GGUF LoRA at this path.

    Raises:
        CatalogError: there is none, or it is not here yet.
    """
    adapters = known_adapters(paths)
    for adapter in adapters:
        if adapter.name == wanted:
            if adapter.path is None:
                raise CatalogError(
                    f"{wanted} is not here yet: 'baize-tui models pull {wanted}' fetches it"
                    if adapter.recipe.adapter is not None
                    else f"the file of {wanted} is gone: {adapter.recipe.file}"
                )
            return adapter
    path = Path(wanted).expanduser()
    if path.is_file():
        return CatalogAdapter(str(path.absolute()), path.absolute(), AdapterRecipe(file=str(path)))
    if path.is_dir():
        raise CatalogError(
            f"{clean_line(wanted)} is a folder: 'baize-tui models import FOLDER --base MODEL' "
            "makes an adapter of it"
        )
    names = ", ".join(adapter.name for adapter in adapters) or "none"
    raise CatalogError(f"no adapter is called {clean_line(wanted)!r}; known adapters: {names}")


def laid_over(adapter: CatalogAdapter, paths: Paths) -> dict[str, float]:
    """``adapter`` with those it was trained over, the first of them first, each as it is.

    Raises:
        CatalogError: one of them is not here.
    """
    names = [adapter.name]
    while (below := adapter.recipe.over) is not None and below not in names:
        adapter = find_adapter(below, paths)
        names.append(adapter.name)
    return dict.fromkeys(reversed(names), 1.0)


def write_adapter_recipe(name: str, recipe: AdapterRecipe, paths: Paths) -> Path:
    """Keep the recipe of an adapter of one's own, whole or not at all."""
    private_folder(paths.models_folder)
    folder = private_folder(paths.adapters_folder)
    return write_toml(folder / f"{check_name(name)}.toml", recipe)
