"""Adapters by name: GGUF LoRAs that are applied to a base while it runs, several at once."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import msgspec

from baize_convert.failures import ConvertError
from baize_convert.hub.names import HUB_PREFIX, parse_name
from baize_shared.existing_paths import is_file
from baize_shared.private_files import private_folder
from baize_shared.sanitizer import clean_line
from baize_shared.shipped_models import shipped_models
from baize_shared.user_paths import expand_user
from baize_tui.catalog.recipes import (
    MODEL_SUFFIX,
    CatalogEntry,
    CatalogError,
    RecipeFields,
    RecipeFolders,
    check_can_be_shown,
    check_name,
    read_recipe_fields,
    read_recipes,
    write_toml,
)
from baize_tui.paths import Paths
from baize_tui.translation import msg, tr


class AdapterRecipe(RecipeFields, frozen=True):
    """The recipe of an adapter; its weights are in ``file`` or ``adapter``."""

    file: str | None = None
    """A GGUF LoRA."""
    adapter: str | None = None
    """``hf:owner/name``, or the folder, of an adapter that PEFT saved."""
    base: str | None = None
    """Name of the model it is for; None for any that it fits."""
    over: str | None = None
    """Name of the adapter that it was trained on top of, as by SDF; both are applied."""

    def cleaned(self) -> Self:
        return msgspec.structs.replace(
            super().cleaned(),
            base=None if self.base is None else clean_line(self.base),
            over=None if self.over is None else clean_line(self.over),
        )

    def __post_init__(self) -> None:
        if (self.file is None) == (self.adapter is None):
            raise ValueError(tr("give one of file and adapter"))
        if self.adapter is not None and self.base is None:
            raise ValueError(tr("adapter needs the name of its base"))
        if self.adapter is not None and self.adapter.startswith(HUB_PREFIX):
            try:
                parse_name(self.adapter)
            except ConvertError as error:
                raise ValueError(str(error)) from error


class CatalogAdapter(CatalogEntry[AdapterRecipe], frozen=True):
    """An adapter."""


def adapter_file(name: str, paths: Paths) -> Path:
    """Where the GGUF LoRA ``name`` is stored once it was pulled or copied."""
    return paths.adapters_folder / f"{name}{MODEL_SUFFIX}"


def known_adapters(paths: Paths, base: str | None = None) -> list[CatalogAdapter]:
    """All adapters with a recipe, installed ones first.

    With ``base``, those for that model and those that name no model.
    """
    adapters = []
    for name, recipe in _adapter_recipes(paths).recipes.items():
        if base is None or recipe.base in (None, base):
            path = expand_user(recipe.file) if recipe.file else adapter_file(name, paths)
            adapters.append(CatalogAdapter(name, path if is_file(path) else None, recipe))
    return sorted(adapters, key=lambda adapter: not adapter.installed)


def broken_adapters(paths: Paths) -> list[str]:
    """What is wrong with recipes of adapters that cannot be used: a line each."""
    return list(_adapter_recipes(paths).broken.values())


def _adapter_recipes(paths: Paths) -> RecipeFolders[AdapterRecipe]:
    folders = (
        paths.adapters_folder,
        paths.recipes_folder / "adapters",
        shipped_models() / "adapters",
    )
    return read_recipes(folders, lambda file: read_recipe_fields(file, AdapterRecipe))


NOT_DOWNLOADED = msg("{name} is not downloaded yet: 'baize-tui models pull {name}' downloads it")
FILE_MISSING = msg("the file of {name} is missing: {file}")
FOLDER = msg(
    "{name} is a folder: 'baize-tui models import FOLDER --base MODEL' converts it to an adapter"
)
NO_SUCH_ADAPTER = msg("no adapter is called {name}; known adapters: {known}")


def find_adapter(wanted: str, paths: Paths) -> CatalogAdapter:
    """The adapter with this name, or the GGUF LoRA at this path.

    Raises:
        CatalogError: there is no such adapter, or it is not downloaded.
    """
    adapters = known_adapters(paths)
    for adapter in adapters:
        if adapter.name == wanted:
            if adapter.path is None:
                if adapter.recipe.adapter is not None:
                    raise CatalogError(tr(NOT_DOWNLOADED, name=wanted))
                raise CatalogError(tr(FILE_MISSING, name=wanted, file=adapter.recipe.file))
            return adapter
    path = expand_user(wanted)
    if is_file(path):
        check_can_be_shown(str(path.absolute()), path)  # it is the name of the adapter
        return CatalogAdapter(str(path.absolute()), path.absolute(), AdapterRecipe(file=str(path)))
    if path.is_dir():
        raise CatalogError(tr(FOLDER, name=clean_line(wanted)))
    if wanted in (broken := _adapter_recipes(paths).broken):
        raise CatalogError(broken[wanted])
    names = ", ".join(adapter.name for adapter in adapters) or tr("none")
    raise CatalogError(tr(NO_SUCH_ADAPTER, name=repr(clean_line(wanted)), known=names))


def with_underlying(adapter: CatalogAdapter, paths: Paths) -> dict[str, float]:
    """``adapter`` after those it was trained on top of, each at scale 1.

    Raises:
        CatalogError: one of them is not downloaded.
    """
    names = [adapter.name]
    while (below := adapter.recipe.over) is not None and below not in names:
        adapter = find_adapter(below, paths)
        names.append(adapter.name)
    return dict.fromkeys(reversed(names), 1.0)


def write_adapter_recipe(name: str, recipe: AdapterRecipe, paths: Paths) -> Path:
    """Write one of the user's own adapter recipes, atomically."""
    private_folder(paths.models_folder)
    folder = private_folder(paths.adapters_folder)
    return write_toml(folder / f"{check_name(name)}.toml", recipe)
