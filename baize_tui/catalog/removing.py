"""Removing pulled and imported models; files in other folders stay."""

from __future__ import annotations

from pathlib import Path

from baize_tui.catalog.adapters import CatalogAdapter, adapter_file
from baize_tui.catalog.pull_records import model_file, read_record, record_file
from baize_tui.catalog.recipes import CatalogError, CatalogModel, recipe_file
from baize_tui.paths import Paths


def remove(model: CatalogModel, paths: Paths) -> list[Path]:
    """Remove a model and unfinished pulls of it; return the weights that were deleted.

    A linked file, in the hub's cache or in a folder of the user's own, stays.

    Raises:
        CatalogError: it came with a package, or is not installed.
    """
    folder = paths.models_folder
    own = recipe_file(model.name, paths)
    record = read_record(model.name, paths)
    partials = [*folder.glob(f"{model.name}.gguf.*partial*")]
    if not own.exists() and record is None and not partials:
        if model.recipe.package is not None:
            raise CatalogError(f"{model.name} came with a Python package: uninstall that")
        raise CatalogError(f"{model.name} is not installed: there is nothing to remove")
    files = [model_file(model.name, paths), *partials]
    deleted = [file for file in files if file.is_file()]
    for file in (*deleted, own, record_file(model.name, paths)):
        file.unlink(missing_ok=True)
    (folder / f"{model.name}.gguf.lock").unlink(missing_ok=True)
    return deleted


def remove_adapter(adapter: CatalogAdapter, paths: Paths) -> list[Path]:
    """Remove an adapter; return the weights that were deleted.

    Raises:
        CatalogError: it is not installed.
    """
    file = adapter_file(adapter.name, paths)
    recipe = paths.adapters_folder / f"{adapter.name}.toml"
    if not file.is_file() and not recipe.is_file():
        raise CatalogError(f"{adapter.name} is not installed: there is nothing to remove")
    deleted = [file] if file.is_file() else []
    file.unlink(missing_ok=True)
    recipe.unlink(missing_ok=True)
    return deleted
