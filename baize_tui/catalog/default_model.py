"""The default model, which answers in new conversations, stays the same when models are added."""

from __future__ import annotations

from collections.abc import Callable

from baize_tui.catalog.default_record import DefaultRecord, read_default, write_default
from baize_tui.catalog.finding import find_model
from baize_tui.catalog.identity import known_sha256
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.paths import Paths


def default_or_none(chosen: str | None, paths: Paths) -> CatalogModel | None:
    """The default model; ``chosen`` is the one that the settings name.

    None if there is none, or if it is gone.
    """
    try:
        return find_model(chosen, paths)
    except CatalogError:
        return None


def name_or_path(model: CatalogModel, find: Callable[[str], CatalogModel]) -> str:
    """What finds ``model`` again with ``find``: its name, or its path if the name is of another."""
    try:
        found = find(model.name)
    except CatalogError:
        return model.location
    return model.name if found.location == model.location else model.location


def remember_default(model: CatalogModel | None, paths: Paths) -> None:
    """Note that ``model`` is the default where the settings name none, unless one is noted already.

    Raises:
        OSError: the note cannot be written.
    """
    if model is None or model.path is None or read_default(paths) is not None:
        return
    sha256 = known_sha256(model.path, paths.cache)
    write_default(DefaultRecord(model.name, str(model.path), sha256), paths)
