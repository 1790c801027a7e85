"""Limits of the files beside weights, which several libraries read whole.

A folder is checked once, before any of its files is parsed: json, gguf and tokenizers make objects
of whatever a file contains, and a few megabytes of brackets become gigabytes.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_shared.sizes import size_text

_LARGEST = {".json": 64 << 20, ".model": 64 << 20, ".txt": 16 << 20, ".jinja": 1 << 20}
"""Bytes by the end of a name. The largest tokenizer.json known has 40 MB, Gemma's 33 MB."""
_MOST_JSON = {b",": 1 << 21, b":": 1 << 20, b"[": 3 << 18, b"{": 1 << 17}
"""How often JSON may contain items, keys, lists and objects, so that it takes less than 400 MB.

Gemma's tokenizer.json, the largest known, has 1.3 million commas, 300,000 colons, 515,000 brackets
(each merge is a list) and 6,500 braces.
"""
_SMALL_JSON = 1 << 20
"""Bytes of JSON that can do no harm whatever they contain."""


def check_small_files(folder: Path) -> None:
    """Check the files in ``folder`` that are read whole.

    Raises:
        ConvertError: one is larger than any real one, is not a regular file, or cannot be read.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return  # what needs one of its files says so
    except OSError as error:
        raise ConvertError(f"{folder}: {error.strerror}") from error
    for entry in entries:
        path = Path(entry.path)
        limit = _LARGEST.get(path.suffix)
        if limit is not None:
            _check(path, limit)


def _check(path: Path, limit: int) -> None:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return
        if not stat.S_ISREG(status.st_mode):
            raise ConvertError(f"{path} is not a regular file")
        if status.st_size > limit:
            raise ConvertError(
                f"{path} has {size_text(status.st_size)}, which is too much for a file of its kind"
            )
        if path.suffix == ".json" and status.st_size > _SMALL_JSON:
            _check_json(path, path.read_bytes())
    except FileNotFoundError:
        return  # a link to nothing, which is the same as no file
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error


def _check_json(path: Path, raw: bytes) -> None:
    """Signs in texts count too, but are few in real files."""
    if any(raw.count(sign) > most for sign, most in _MOST_JSON.items()):
        raise ConvertError(f"{path} has more items than any real file of its kind")
