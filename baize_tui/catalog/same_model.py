"""The model that a conversation was held with: its content counts, not what it is called now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from baize_shared.sanitizer import clean_line
from baize_shared.server_address import SERVER_PREFIX
from baize_shared.split_files import missing_file
from baize_tui.catalog.finding import find_model, known_models, model_in_file, model_on_server
from baize_tui.catalog.identity import known_sha256
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.paths import Paths
from baize_tui.translation import msg, tr


def find_same_model(name: str, path: str | None, sha256: str | None, paths: Paths) -> CatalogModel:
    """The model with the content ``sha256``; ``path`` and ``name`` are where it was last.

    Only hashes that are known already are compared, as computing one can take minutes. So a file
    without one counts as the same where its path says so, or its name if the path is gone:
    ``ActiveModel.required_for_answer`` compares it before it answers.

    Raises:
        CatalogError: it is not on this machine, or another model has taken its place.
    """
    known = known_models(paths)
    if path is not None and path.startswith(SERVER_PREFIX):
        return _on_server(name, path, known)
    candidates = _candidates(name, path, [model for model in known if model.path is not None])
    if sha256 is not None:
        for model in candidates:
            if model.path is not None and known_sha256(model.path, paths.cache) == sha256:
                return model
    found: CatalogModel | None
    if path is not None and missing_file(Path(path)) is None:
        found = candidates[0]
    elif path is None and any(model.name == name for model in known):
        found = find_model(name, paths)  # not by the name alone: it may be that of a file here
    else:
        found = next((model for model in candidates if model.name == name), None)
    if found is None or found.path is None:
        raise _gone(name, path)
    if sha256 is not None and known_sha256(found.path, paths.cache) not in (None, sha256):
        if path is None or Path(path) != found.path:
            raise _gone(name, path)
        raise replaced_error(found)
    return found


def _on_server(name: str, location: str, known: Sequence[CatalogModel]) -> CatalogModel:
    """The model at ``location``, with its recipe as long as there is one under this name."""
    for model in known:
        if (model.name, model.location) == (name, location):
            return model
    return msgspec.structs.replace(model_on_server(location), name=clean_line(name))


REPLACED = msg("{file} is no longer the model of this conversation: choose one for it")
GONE = msg(
    "the model of this conversation, {name}, is no longer on this machine: choose another one for "
    "it"
)
GONE_FROM = msg(
    "the model of this conversation, {name}, is no longer at {path}: choose another one for it"
)


def replaced_error(model: CatalogModel) -> CatalogError:
    """The error for a file with another content than the model of a conversation."""
    return CatalogError(tr(REPLACED, file=clean_line(str(model.path))))


def _gone(name: str, path: str | None) -> CatalogError:
    if path is None:
        return CatalogError(tr(GONE, name=clean_line(name)))
    return CatalogError(tr(GONE_FROM, name=clean_line(name), path=clean_line(path)))


def _candidates(
    name: str, path: str | None, installed: Sequence[CatalogModel]
) -> list[CatalogModel]:
    """The models that may be the one called ``name`` at ``path``, the likeliest first.

    Several recipes may be about one file. A file that was opened by its path has the name of the
    file, and no recipe; one whose recipe was renamed has another name.
    """
    if path is None or missing_file(Path(path)) is not None:
        return sorted(installed, key=lambda model: model.name != name)
    here = Path(path).resolve()
    same_file = [m for m in installed if m.path is not None and m.path.resolve() == here]
    bare = model_in_file(Path(path))
    by_path = sorted(same_file, key=lambda model: model.name != name)
    if not by_path or (by_path[0].name != name and bare.name == name):
        by_path.insert(0, bare)
    return [*by_path, *sorted(installed, key=lambda model: model.name != name)]
