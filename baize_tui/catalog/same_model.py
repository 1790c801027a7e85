"""The model that a conversation was held with: its content counts, not what it is called now."""

from __future__ import annotations

from pathlib import Path

from baize_shared.sanitizer import clean_line
from baize_tui.catalog.identity import known_sha256
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Recipe, find_model, known_models
from baize_tui.paths import Paths


def find_same_model(name: str, path: str | None, sha256: str | None, paths: Paths) -> CatalogModel:
    """The model with the content ``sha256``; ``path`` and ``name`` are where it was last.

    Only hashes that are known already are compared, as computing one can take minutes. So a file
    without one counts as the same where its path says so, or its name if the path is gone.

    Raises:
        CatalogError: it is not on this machine, or another model has taken its place.
    """
    known = known_models(paths)
    installed = [model for model in known if model.path is not None]
    if sha256 is not None:
        for model in sorted(installed, key=lambda model: model.name != name):
            if model.path is not None and known_sha256(model.path, paths.cache) == sha256:
                return model
    found: CatalogModel | None
    if path is not None and Path(path).is_file():
        found = _model_at(Path(path), installed)
    elif path is None and any(model.name == name for model in known):
        found = find_model(name, paths)  # not by the name alone: it may be that of a file here
    else:
        found = next((model for model in installed if model.name == name), None)
    if found is None or found.path is None:
        where = "on this machine" if path is None else f"at {clean_line(path)}"
        raise CatalogError(
            f"the model of this conversation, {clean_line(name)}, is no longer {where}: choose "
            "another one for it"
        )
    if sha256 is not None and known_sha256(found.path, paths.cache) not in (None, sha256):
        raise CatalogError(
            f"{clean_line(str(found.path))} is no longer the model of this conversation: choose "
            "one for it"
        )
    return found


def _model_at(path: Path, installed: list[CatalogModel]) -> CatalogModel:
    """The model with this file: one of ``installed``, or one without a recipe."""
    for model in installed:
        if model.path is not None and model.path.resolve() == path.resolve():
            return model
    return CatalogModel(path.stem, path, Recipe(file=str(path)))
