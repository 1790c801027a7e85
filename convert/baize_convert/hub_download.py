"""Whole files of the hub, downloaded so that no byte has to come twice.

huggingface_hub begins a download anew that was cut off.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from glob import escape as glob_escape
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.hub_requests import HubFile

_PIECE = 1 << 20

Progress = Callable[[int], object]
"""Hears how many bytes have come."""


def download(wanted: HubFile, target: Path, progress: Progress = lambda _: None) -> Path:
    """Download a file; cut off, it goes on at the byte where it stopped.

    What has come lies in a file beside ``target``, which has its name only once it is whole and its
    SHA-256 is the hub's. ``progress`` hears of every piece, those of an earlier run included.

    Raises:
        ConvertError: the hub cannot be reached, the file is another one now, its hash is wrong, or
            it cannot be written.
    """
    place = wanted.place()
    # Of another file of that name nothing is of use.
    partial = target.with_name(f"{target.name}.{place.etag[:16]}.partial")
    try:
        for other in target.parent.glob(f"{glob_escape(target.name)}.*.partial"):
            if other != partial:
                other.unlink(missing_ok=True)
        with partial.open("ab") as file:
            digest, done = hashlib.sha256(), 0
            with partial.open("rb") as before:
                while piece := before.read(_PIECE):
                    digest.update(piece)
                    done += len(piece)
                    progress(len(piece))
            free = shutil.disk_usage(target.parent).free
            if free < place.size - done:
                raise ConvertError(
                    f"{target.parent}: {free / 1e9:.2f} GB are free, "
                    f"{(place.size - done) / 1e9:.2f} GB are still to come"
                )
            for piece in wanted.pieces(place, done):
                file.write(piece)
                file.flush()  # killed, what has come is there
                digest.update(piece)
                progress(len(piece))
            os.fsync(file.fileno())
        if place.sha256 not in (None, digest.hexdigest()):
            partial.unlink()
            raise ConvertError(
                f"{wanted.path} came with the SHA-256 {digest.hexdigest()[:16]}…, and "
                f"the hub's is {place.etag[:16]}…: it was damaged on its way; begin anew"
            )
        partial.replace(target)
    except OSError as error:
        raise ConvertError(f"{partial}: {error.strerror}; the same command goes on") from error
    return target
