"""Removing what was pulled or imported; what lies elsewhere stays."""

from __future__ import annotations

from pathlib import Path

from baize_tui.catalog.adapters import CatalogAdapter, adapter_file
from baize_tui.catalog.pulled import pulled_file, read_record, record_file
from baize_tui.catalog.recipes import CatalogError, CatalogModel, recipe_file
from baize_tui.paths import Paths


def remove(model: CatalogModel, paths: Paths) -> list[Path]:
    """Remove a model and what is left of its pulls; the files that were deleted.

    A file that lies elsewhere, in the hub's cache or where a person keeps it, stays.

    Raises:
        CatalogError: it came with a package, or is none of this program's.
    """
    folder = paths.models_folder
    own = recipe_file(model.name, paths)
    record = read_record(model.name, paths)
    partials = [*folder.glob(f"{model.name}.gguf.*partial*")]
    if not own.exists() and record is None and not partials:
        if model.recipe.package is not None:
            raise CatalogError(f"{model.name} came with a Python package: uninstall that")
        raise CatalogError(f"{model.name} is not installed: there is nothing to remove")
    files = [pulled_file(model.name, paths), *partials]
    deleted = [file for file in files if file.is_file()]
    for file in (*deleted, own, record_file(model.name, paths)):
        file.unlink(missing_ok=True)
    (folder / f"{model.name}.gguf.lock").unlink(missing_ok=True)
    return deleted


def remove_adapter(adapter: CatalogAdapter, paths: Paths) -> list[Path]:
    """Remove an adapter; the files that were deleted.

    Raises:
        CatalogError: it is none of this program's.
    """
    file = adapter_file(adapter.name, paths)
    recipe = paths.adapters_folder / f"{adapter.name}.toml"
    if not file.is_file() and not recipe.is_file():
        raise CatalogError(f"{adapter.name} is not installed: there is nothing to remove")
    deleted = [file] if file.is_file() else []
    file.unlink(missing_ok=True)
    recipe.unlink(missing_ok=True)
    return deleted
