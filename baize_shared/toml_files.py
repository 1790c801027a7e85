"""TOML that people and other programs write, decoded into a struct."""

from __future__ import annotations

from typing import TypeVar

import msgspec

_BOM = b"\xef\xbb\xbf"
_LARGEST = 1 << 20
"""Bytes; what people write by hand is far smaller."""

T = TypeVar("T")


class TomlError(Exception):
    """The content is not valid; the message is one line without the name of the file."""


def decode_toml(raw: bytes, type: type[T]) -> T:
    """``raw`` as ``type``; a byte order mark in front, as some editors write it, is ignored.

    Raises:
        TomlError: it is not UTF-8 or not TOML, nested too deeply, or has another structure.
    """
    if len(raw) > _LARGEST:
        raise TomlError(f"{len(raw)} bytes are too many for a TOML file")
    try:
        return msgspec.toml.decode(raw.removeprefix(_BOM), type=type)
    except UnicodeDecodeError as error:
        raise TomlError("it is not a text in UTF-8") from error
    except RecursionError as error:
        raise TomlError("it is nested too deeply") from error
    except msgspec.DecodeError as error:
        raise TomlError(str(error)) from error
