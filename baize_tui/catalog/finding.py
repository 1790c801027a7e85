"""Finding models: those with recipes, by name, and those at a path or on a server."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from baize_convert.hub.names import HUB_PREFIX
from baize_shared.existing_paths import exists
from baize_shared.sanitizer import clean_line
from baize_shared.server_address import SERVER_PREFIX, AddressError, parse_address
from baize_shared.shipped_models import shipped_models
from baize_shared.split_files import missing_file, model_stem
from baize_shared.user_paths import expand_user
from baize_tui.catalog.default_record import read_default
from baize_tui.catalog.identity import known_sha256
from baize_tui.catalog.pull_records import read_record, stored_file
from baize_tui.catalog.recipes import (
    MODEL_SUFFIX,
    CatalogError,
    CatalogModel,
    NoModelInstalled,
    Recipe,
    RecipeFolders,
    later_part,
    read_recipe,
    read_recipes,
)
from baize_tui.paths import Paths
from baize_tui.shared_texts import tr_shared
from baize_tui.translation import msg, tr

NO_SUCH_MODEL = msg("no model is called {name}; known models: {known}")
ON_HUB = msg("{name} is on the hub: 'baize-tui models pull' downloads it")
DEFAULT_GONE = msg(
    "the default model, {name}, is no longer at {path}: 'baize-tui models default NAME' makes "
    "another one the default"
)
NOT_DOWNLOADED = msg("{name} is not downloaded: 'baize-tui models pull {name}' downloads it")
NOT_INSTALLED = msg(
    "{name} is not installed: its file comes with the Python package {package} (the extra [demo])"
)
FILE_MISSING = msg("the file of {name} is missing: {file}")


def _find_file(name: str, recipe: Recipe, paths: Paths) -> Path | None:
    """The file of a model, if it is on this machine."""
    possible = _possible_files(name, recipe, paths)
    return next((file for file in possible if missing_file(file) is None), None)


def _possible_files(name: str, recipe: Recipe, paths: Paths) -> list[Path]:
    if recipe.is_on_hub:
        record = read_record(name, paths)
        # The folder may have moved since.
        return [] if record is None else [Path(record.path), *_stored_files(name, paths)]
    if recipe.server is not None:
        return []
    assert recipe.file is not None
    if recipe.package is None:
        return [expand_user(recipe.file)]
    return [Path(folder) / recipe.file for folder in _package_folders(recipe.package)]


def _stored_files(name: str, paths: Paths) -> list[Path]:
    stored = stored_file(name, paths)
    return [] if stored is None else [stored]


def _package_folders(package: str) -> list[str]:
    """Where an installed package is; nothing of it is imported, so its name has no dot."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module without a specification, such as __main__
        return []
    return list(spec.submodule_search_locations or []) if spec is not None else []


def _model_recipes(paths: Paths) -> RecipeFolders[Recipe]:
    folders = (paths.models_folder, paths.recipes_folder, shipped_models())
    return read_recipes(folders, read_recipe)


def known_models(paths: Paths) -> list[CatalogModel]:
    """All models with a valid recipe: installed ones first, and of these the user's own."""
    recipes = _model_recipes(paths).recipes
    models = [
        CatalogModel(name, _find_file(name, recipe, paths), recipe)
        for name, recipe in recipes.items()
    ]
    return sorted(models, key=lambda model: not model.installed)


def broken_models(paths: Paths) -> list[str]:
    """What is wrong with recipes of models that cannot be used: a line each."""
    return list(_model_recipes(paths).broken.values())


def known_model(name: str, paths: Paths) -> CatalogModel:
    """The model with this name, installed or not.

    Raises:
        CatalogError: there is no such model.
    """
    models = known_models(paths)
    for model in models:
        if model.name == name:
            return model
    if name.startswith(SERVER_PREFIX):
        raise CatalogError(why_missing(model_on_server(name)))
    if name in (broken := _model_recipes(paths).broken):
        raise CatalogError(broken[name])
    names = ", ".join(model.name for model in models) or tr("none")
    raise CatalogError(tr(NO_SUCH_MODEL, name=repr(clean_line(name)), known=names))


def find_model(wanted: str | None, paths: Paths) -> CatalogModel:
    """The model with this name or at this path; None takes the default where none is set.

    That is the first that was installed, as long as it is noted, else the first of the list.

    Raises:
        CatalogError: no such model, or none at all.
    """
    if wanted is None:
        return _noted_default([m for m in known_models(paths) if m.installed], paths)
    for model in known_models(paths):
        if model.name == wanted:
            if not model.can_answer:
                raise CatalogError(why_missing(model))
            return model
    if wanted.startswith(SERVER_PREFIX):
        return model_on_server(wanted)
    path = expand_user(wanted)
    if exists(path):
        if why := later_part(clean_line(wanted)):
            raise CatalogError(why)
        return model_in_file(path.absolute())
    if wanted.startswith(HUB_PREFIX):
        raise CatalogError(tr(ON_HUB, name=clean_line(wanted)))
    if path.suffix == MODEL_SUFFIX or "/" in wanted:
        raise CatalogError(tr("{file}: no such file", file=clean_line(wanted)))
    return known_model(wanted, paths)  # raises, with the names of all models


def _noted_default(installed: Sequence[CatalogModel], paths: Paths) -> CatalogModel:
    record = read_default(paths)
    if record is None:
        if not installed:
            raise NoModelInstalled
        return installed[0]
    for model in installed:
        if model.name == record.name:
            return model
    for model in installed:
        sha256 = known_sha256(model.path, paths.cache) if model.path is not None else None
        if str(model.path) == record.path or (sha256 is not None and sha256 == record.sha256):
            return model
    raise CatalogError(tr(DEFAULT_GONE, name=record.name, path=record.path))


def model_in_file(path: Path) -> CatalogModel:
    """A model without a recipe; it is called like its file."""
    return CatalogModel(clean_line(model_stem(path)), path, Recipe(file=str(path)))


def model_on_server(spec: str) -> CatalogModel:
    """The model at ``server:URL#model``, without a recipe; it is called as there.

    Raises:
        CatalogError: ``spec`` has another form.
    """
    try:
        address = parse_address(spec)
    except AddressError as error:
        raise CatalogError(tr_shared(error)) from error
    return CatalogModel(address.model or address.host, None, Recipe(server=address.spec))


def local_file(model: CatalogModel) -> Path:
    """The file of ``model`` on this machine, for what a server cannot do.

    Raises:
        CatalogError: there is none; the message says why.
    """
    if model.path is None:
        raise CatalogError(why_missing(model))
    return model.path


def why_missing(model: CatalogModel) -> str:
    """Why there is no file of a known ``model``, and what to do."""
    if model.recipe.server is not None:
        return tr("{name} is on a server: there is no file of it here", name=model.name)
    if model.recipe.is_on_hub:
        return tr(NOT_DOWNLOADED, name=model.name)
    if model.recipe.package is not None:
        package = model.recipe.package.replace("_", "-")
        return tr(NOT_INSTALLED, name=model.name, package=package)
    file = expand_user(model.recipe.file or "")
    return tr(FILE_MISSING, name=model.name, file=missing_file(file) or file)
