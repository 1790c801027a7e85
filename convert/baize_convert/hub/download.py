"""Downloads of whole files that can be interrupted and resumed.

huggingface_hub restarts an interrupted download from the first byte.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from glob import escape as glob_escape
from pathlib import Path
from typing import BinaryIO

from baize_convert.failures import ConvertError
from baize_convert.hub.requests import FileLocation, HubFile
from baize_shared.private_files import open_or_create
from baize_shared.sizes import size_text

_CHUNK = 1 << 20

Progress = Callable[[int], object]
"""Called with the number of bytes that were added."""


def download(source: HubFile, target: Path, progress: Progress = lambda _: None) -> Path:
    """Download a file; an interrupted download resumes at the byte where it stopped.

    The bytes go to a file beside ``target``, which gets that name once it is complete and its
    SHA-256 is the hub's. ``progress`` counts all bytes, those of an earlier run included.

    Raises:
        ConvertError: the hub cannot be reached, the file was replaced there, its hash is wrong, or
            it cannot be written.
    """
    location = source.locate()
    partial = target.with_name(f"{target.name}.{location.etag[:16]}.partial")
    try:
        if _is_complete(target, location):
            progress(location.size)
            return target
        _remove_other_versions(target, partial)
        with os.fdopen(open_or_create(partial), "r+b") as file:
            digest = _append_missing(source, location, partial, file, progress)
        if location.sha256 not in (None, digest):
            partial.unlink()
            raise ConvertError(
                f"{source.path} arrived with the SHA-256 {digest[:16]}…, but the hub's is "
                f"{location.etag[:16]}…: the download was damaged; start again"
            )
        partial.replace(target)
    except OSError as error:
        raise ConvertError(
            f"{partial}: {error.strerror}; run the same command again to resume"
        ) from error
    return target


def _is_complete(target: Path, location: FileLocation) -> bool:
    """Whether an earlier run has downloaded the whole file."""
    if location.sha256 is None or target.is_symlink() or not target.is_file():
        return False
    with target.open("rb") as file:
        return (
            os.fstat(file.fileno()).st_size == location.size
            and hashlib.file_digest(file, "sha256").hexdigest() == location.sha256
        )


def _remove_other_versions(target: Path, partial: Path) -> None:
    """Remove what earlier versions of the file on the hub left behind."""
    for other in target.parent.glob(f"{glob_escape(target.name)}.*.partial"):
        if other != partial:
            other.unlink(missing_ok=True)


def _append_missing(
    source: HubFile, location: FileLocation, partial: Path, file: BinaryIO, progress: Progress
) -> str:
    """Complete ``file``, which is ``partial``, open at its start; the SHA-256 of all its bytes."""
    digest, done = hashlib.sha256(), 0
    if os.fstat(file.fileno()).st_size > location.size:
        file.truncate(0)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        done += len(chunk)
        progress(len(chunk))
    free, missing = shutil.disk_usage(partial.parent).free, location.size - done
    if free < missing:
        raise ConvertError(
            f"{partial.parent}: {size_text(free)} are free, {size_text(missing)} are still missing"
        )
    for chunk in source.stream(location, done):
        file.write(chunk)
        file.flush()  # a killed process leaves what has arrived
        digest.update(chunk)
        progress(len(chunk))
    os.fsync(file.fileno())
    return digest.hexdigest()
