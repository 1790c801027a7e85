"""Where a pulled model came from: a record beside its file."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from baize_shared.atomic_files import write_atomically
from baize_shared.json_errors import JSON_ERRORS
from baize_shared.private_files import private_folder
from baize_shared.split_files import SplitName
from baize_tui.paths import Paths


class PullRecord(Struct, frozen=True):
    """Where a pulled file came from; ``path`` may be in the hub's own cache."""

    path: str
    bytes: int
    source: str
    """``hf:owner/name/file``, or the base and its adapters."""
    commits: dict[str, str]
    """Commit of each repository, by its name."""
    pulled_at: float
    """Seconds since 1970, UTC."""
    sha256: str | None = None
    """The hub's SHA-256 of a file that was downloaded unchanged."""
    outtype: str | None = None
    license: str = ""


def model_file(name: str, paths: Paths, files: int = 1) -> Path:
    """Where the GGUF ``name`` is stored once it was pulled or copied: the first of ``files``."""
    if files == 1:
        return paths.models_folder / f"{name}.gguf"
    return paths.models_folder / SplitName(name, 1, files).with_number(1)


def stored_file(name: str, paths: Paths) -> Path | None:
    """The same, if it is there."""
    split = paths.models_folder.glob(f"{name}-00001-of-?????.gguf")
    return next((path for path in (model_file(name, paths), *split) if path.is_file()), None)


def record_file(name: str, paths: Paths) -> Path:
    """Where the record of ``name`` is stored."""
    return paths.models_folder / f"{name}.pulled.json"


def read_record(name: str, paths: Paths) -> PullRecord | None:
    """The record of ``name``; None if nothing was pulled under that name."""
    try:
        return msgspec.json.decode(record_file(name, paths).read_bytes(), type=PullRecord)
    except (OSError, *JSON_ERRORS):
        return None


def write_record(name: str, record: PullRecord, paths: Paths) -> None:
    """Store the record of ``name``, atomically."""
    private_folder(paths.models_folder)
    content = msgspec.json.format(msgspec.json.encode(record), indent=2)
    write_atomically(record_file(name, paths), content)
