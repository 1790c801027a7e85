"""The hash of a model, computed once and cached until one of its files changes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from baize_shared.atomic_files import write_atomically
from baize_shared.json_errors import JSON_ERRORS
from baize_shared.private_files import private_folder
from baize_shared.split_files import model_files

if TYPE_CHECKING:
    from hashlib import _Hash

_CHUNK = 1 << 20
_HASHES = "model-hashes.json"
_WRITING = threading.Lock()
"""Held to add to the file: two models may be hashed at the same time."""


def model_sha256(path: Path, cache: Path) -> str:
    """SHA-256 of the model at ``path`` in hex; ``cache`` is the folder for computed hashes.

    That of a model in several files is of all their bytes, one file after the other.

    Raises:
        OSError: a file cannot be read.
    """
    key, hashes_file = _key(path), cache / _HASHES
    if (known := _read(hashes_file).get(key)) is not None:
        return known
    digest = hashlib.sha256()
    for file in model_files(path):
        _add_file(digest, file)
    sha256 = digest.hexdigest()
    with _WRITING, contextlib.suppress(OSError):  # a home that cannot be written: computed again
        private_folder(cache)
        write_atomically(hashes_file, msgspec.json.encode({**_read(hashes_file), key: sha256}))
    return sha256


def known_sha256(path: Path, cache: Path) -> str | None:
    """The same if it was computed before; None if it was not, or a file has changed since."""
    try:
        return _read(cache / _HASHES).get(_key(path))
    except OSError:
        return None


def _add_file(digest: _Hash, path: Path) -> None:
    with path.open("rb") as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)


def _key(path: Path) -> str:
    """The files and everything that changes with their content."""
    keys = []
    for file in model_files(path):
        status = file.stat()
        keys.append(f"{file.resolve()}:{status.st_size}:{status.st_mtime_ns}")
    return "|".join(keys)


def _read(file: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    except (OSError, *JSON_ERRORS):
        return {}
