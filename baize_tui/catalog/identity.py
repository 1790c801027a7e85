"""The hash of a model file, computed once and cached until the file changes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from baize_shared.atomic_files import write_atomically
from baize_shared.private_files import private_folder

_CHUNK = 1 << 20
_HASHES = "model-hashes.json"


def model_sha256(path: Path, cache: Path) -> str:
    """SHA-256 of ``path`` in hex; ``cache`` is the folder for computed hashes.

    Raises:
        OSError: the file cannot be read.
    """
    key, hashes_file = _key(path), cache / _HASHES
    hashes = _read(hashes_file)
    if key in hashes:
        return hashes[key]
    with path.open("rb") as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    hashes[key] = digest.hexdigest()
    private_folder(cache)
    write_atomically(hashes_file, msgspec.json.encode(hashes), private=True)
    return hashes[key]


def known_sha256(path: Path, cache: Path) -> str | None:
    """The same if it was computed before; None if it was not, or the file has changed since."""
    try:
        return _read(cache / _HASHES).get(_key(path))
    except OSError:
        return None


def _key(path: Path) -> str:
    """The file and everything that changes with its content."""
    status = path.stat()
    return f"{path.resolve()}:{status.st_size}:{status.st_mtime_ns}"


def _read(file: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
