"""Which model is the default where the settings name none: a record beside the conversations.

It is written when a model is added, so that a new one never takes the place of the one before.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from baize_shared.atomic_files import write_atomically
from baize_shared.json_errors import JSON_ERRORS
from baize_shared.private_files import private_folder
from baize_tui.paths import Paths


class DefaultRecord(Struct, frozen=True):
    """The default model: its name, and what finds it under another one."""

    name: str
    path: str
    sha256: str | None = None
    """None if it was not known."""


def read_default(paths: Paths) -> DefaultRecord | None:
    """The record; None if there is none, or if it cannot be read."""
    try:
        return msgspec.json.decode(paths.default_model_file.read_bytes(), type=DefaultRecord)
    except (OSError, *JSON_ERRORS):
        return None


def write_default(record: DefaultRecord, paths: Paths) -> None:
    """Store the record, atomically.

    Raises:
        OSError: it cannot be written.
    """
    file = paths.default_model_file
    private_folder(file.parent)
    write_atomically(file, msgspec.json.encode(record))


def forget_default(paths: Paths) -> None:
    """Remove the record: the first model that is installed is the default then."""
    paths.default_model_file.unlink(missing_ok=True)
