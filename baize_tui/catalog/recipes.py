"""Recipes: one TOML file per model says where its weights lie and how to talk with it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_tui.catalog.shipped import shipped_models
from baize_tui.paths import Paths, private_folder
from baize_tui.sanitizer import clean_line, clean_text
from baize_tui.settings import Sampling

MODEL_SUFFIX = ".gguf"


class CatalogError(Exception):
    """A model cannot be found or used; the message names it and the next step."""


class Recipe(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a recipe file may say."""

    file: str
    """A path, or a file name inside ``package``."""
    title: str = ""
    description: str = ""
    license: str = ""
    notice: str = ""
    package: str | None = None
    """Python package that carries the file."""
    format: str | None = None
    """Prompt format; None takes the chat template in the file."""
    context: int | None = None
    sampling: dict[str, Any] = {}


class CatalogModel(Struct, frozen=True):
    """A model by its name; ``path`` is None where its file is not on this machine."""

    name: str
    path: Path | None
    recipe: Recipe

    @property
    def installed(self) -> bool:
        return self.path is not None

    @property
    def title(self) -> str:
        return self.recipe.title or self.name


def read_recipe(file: Path) -> Recipe:
    """Read and check one recipe.

    Raises:
        CatalogError: not readable, or not a recipe; the message names file and key.
    """
    try:
        recipe = msgspec.toml.decode(file.read_bytes(), type=Recipe)
        msgspec.convert(recipe.sampling, Sampling)
    except OSError as error:
        raise CatalogError(f"{file}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CatalogError(f"{file}: {error}") from error
    return msgspec.structs.replace(
        recipe,
        title=clean_line(recipe.title),
        description=clean_line(recipe.description),
        license=clean_line(recipe.license),
        notice=clean_text(recipe.notice),
    )


def _path_of(recipe: Recipe) -> Path | None:
    if recipe.package is None:
        path = Path(recipe.file).expanduser()
        return path if path.is_file() else None
    # Found without importing: the package may be large.
    spec = importlib.util.find_spec(recipe.package)
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(folder) / recipe.file
        if path.is_file():
            return path
    return None


def known_models(paths: Paths) -> list[CatalogModel]:
    """All models with a recipe, the user's own first, those that are installed first."""
    models: dict[str, CatalogModel] = {}
    for folder in (paths.models_folder, shipped_models()):
        for file in sorted(folder.glob("*.toml")) if folder.is_dir() else []:
            recipe = read_recipe(file)
            models.setdefault(file.stem, CatalogModel(file.stem, _path_of(recipe), recipe))
    return sorted(models.values(), key=lambda model: not model.installed)


def find_model(wanted: str | None, paths: Paths) -> CatalogModel:
    """The model with this name or at this path; None takes the first that is installed.

    Raises:
        CatalogError: no such model, or none at all.
    """
    models = known_models(paths)
    if wanted is None:
        for model in models:
            if model.installed:
                return model
        raise CatalogError(
            "no model is installed. Import one with 'baize-tui models import FILE.gguf', or "
            "install the small demo model with the extra [demo]"
        )
    for model in models:
        if model.name == wanted:
            if model.path is None:
                raise CatalogError(_missing(model))
            return model
    path = Path(wanted).expanduser()
    if path.exists():
        return CatalogModel(path.stem, path.absolute(), Recipe(file=str(path.absolute())))
    if path.suffix == MODEL_SUFFIX or "/" in wanted:
        raise CatalogError(f"{clean_line(wanted)}: no such file")
    names = ", ".join(model.name for model in models) or "none"
    raise CatalogError(f"no model is called {clean_line(wanted)!r}; known models: {names}")


def _missing(model: CatalogModel) -> str:
    if model.recipe.package is not None:
        return (
            f"{model.name} is not installed: its file comes with the Python package "
            f"{model.recipe.package.replace('_', '-')} (the extra [demo])"
        )
    return f"the file of {model.name} is gone: {model.recipe.file}"


def recipe_file(name: str, paths: Paths) -> Path:
    """Where the user's own recipe ``name`` lies."""
    return paths.models_folder / f"{name}.toml"


def write_recipe(name: str, recipe: Recipe, paths: Paths) -> Path:
    """Write one of the user's own recipes, whole or not at all."""
    private_folder(paths.models_folder)
    target = recipe_file(name, paths)
    partial = target.with_suffix(".toml.partial")
    partial.write_bytes(_to_toml(recipe))
    partial.replace(target)
    return target


def _to_toml(recipe: Recipe) -> bytes:
    # A JSON string or number is a TOML one too; recipes written here have no tables.
    pairs: dict[str, Any] = msgspec.to_builtins(recipe)
    lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in pairs.items()]
    return ("\n".join(lines) + "\n").encode()
