"""TOML that people and other programs write, decoded into a struct."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec

from baize_shared.one_line_error import OneLineError
from baize_shared.sanitizer import clean_values

_BOM = b"\xef\xbb\xbf"
_LARGEST = 1 << 20
"""Bytes; what people write by hand is far smaller."""

T = TypeVar("T")


class TomlError(OneLineError):
    """The content is not valid; the message is one line without the name of the file."""


def read_toml(file: Path, type: type[T], *, clean: bool = True) -> T:
    """The content of ``file``; see ``decode_toml``.

    Raises:
        OSError: it cannot be read.
        TomlError: it is not a regular file, or see ``decode_toml``.
    """
    # Opening a pipe without a writer would wait forever.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise TomlError("it is not a regular file")
        return decode_toml(opened.read(_LARGEST + 1), type, clean=clean)


def decode_toml(raw: bytes, type: type[T], *, clean: bool = True) -> T:
    """``raw`` as ``type``; a byte order mark in front, as some editors write it, is ignored.

    Its texts are sanitized, unless ``clean`` is false: the name of a file must stay as it is.

    Raises:
        TomlError: it is not UTF-8 or not TOML, nested too deeply, or has another structure.
    """
    if len(raw) > _LARGEST:
        raise TomlError(f"more than {_LARGEST} bytes are too many for a TOML file")
    try:
        content = tomllib.loads(raw.removeprefix(_BOM).decode())
        return msgspec.convert(clean_values(content) if clean else content, type)
    except UnicodeDecodeError as error:
        raise TomlError("it is not a text in UTF-8") from error
    except RecursionError as error:
        raise TomlError("it is nested too deeply") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise TomlError(str(error)) from error
    except ValueError as error:  # from int()
        raise TomlError("a number in it has too many digits") from error
