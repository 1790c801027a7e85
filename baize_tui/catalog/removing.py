"""Removing pulled and imported models; files in other folders stay."""

from __future__ import annotations

from pathlib import Path

from baize_tui.catalog.adapters import CatalogAdapter, adapter_file
from baize_tui.catalog.default_model import default_or_none
from baize_tui.catalog.default_record import forget_default
from baize_tui.catalog.pull_records import model_file, read_record, record_file
from baize_tui.catalog.recipes import CatalogError, CatalogModel, recipe_file
from baize_tui.paths import Paths
from baize_tui.translation import msg, tr

_NUMBER = "[0-9]" * 5
"""A pattern for the numbers in the names of the files of one model."""
NOT_INSTALLED = msg("{name} is not installed: there is nothing to remove")


def remove(model: CatalogModel, paths: Paths) -> list[Path]:
    """Remove a model and unfinished pulls of it; return the weights that were deleted.

    A linked file, in the hub's cache or in a folder of the user's own, stays.

    Raises:
        CatalogError: it came with a package, or is not installed.
    """
    folder, name = paths.models_folder, model.name
    own = recipe_file(name, paths)
    record = read_record(name, paths)
    parts = folder.glob(f"{name}-{_NUMBER}-of-{_NUMBER}.gguf*")
    partials = [*folder.glob(f"{name}.gguf.*partial*"), *parts]
    if not own.exists() and record is None and not partials:
        if model.recipe.package is not None:
            raise CatalogError(tr("{name} came with a Python package: uninstall that", name=name))
        raise CatalogError(tr(NOT_INSTALLED, name=name))
    default = default_or_none(None, paths)
    was_default = default is not None and default.name == name
    files = [model_file(name, paths), *partials]
    deleted = [file for file in files if file.is_file()]
    for file in (*deleted, own, record_file(name, paths)):
        file.unlink(missing_ok=True)
    (folder / f"{name}.gguf.lock").unlink(missing_ok=True)
    if was_default:
        forget_default(paths)
    return deleted


def remove_adapter(adapter: CatalogAdapter, paths: Paths) -> list[Path]:
    """Remove an adapter; return the weights that were deleted.

    Raises:
        CatalogError: it is not installed.
    """
    file = adapter_file(adapter.name, paths)
    recipe = paths.adapters_folder / f"{adapter.name}.toml"
    if not file.is_file() and not recipe.is_file():
        raise CatalogError(tr(NOT_INSTALLED, name=adapter.name))
    deleted = [file] if file.is_file() else []
    file.unlink(missing_ok=True)
    recipe.unlink(missing_ok=True)
    return deleted
