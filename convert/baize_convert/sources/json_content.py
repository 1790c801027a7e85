"""JSON as transformers and PEFT read it, with Python's json: it has more than the standard."""

from __future__ import annotations

import codecs
import json
import re
from typing import TypeVar

import msgspec

from baize_shared.json_errors import JSON_ERRORS

_T = TypeVar("_T")
_MARKS = {
    codecs.BOM_UTF8: "begins with a byte order mark",
    codecs.BOM_UTF16_LE: "is in UTF-16",
    codecs.BOM_UTF16_BE: "is in UTF-16",
}
_HALF_PAIR = re.compile("[\ud800-\udfff]")


def decode_json(content: bytes, type: type[_T]) -> _T:
    """``content`` as ``type``; NaN, Infinity and numbers beyond float64 are numbers, as in Python.

    Raises:
        ValueError: it is not JSON, or has another structure.
        RecursionError: it is nested too deeply.
    """
    try:
        return msgspec.json.decode(content, type=type)
    except msgspec.DecodeError as error:
        for mark, what in _MARKS.items():
            if content.startswith(mark):
                raise ValueError(
                    f"it {what}, as some programs on Windows save it: save it as UTF-8 without one"
                    if mark == codecs.BOM_UTF8
                    else f"it {what}, as some programs on Windows save it: save it as UTF-8"
                ) from None
        try:
            value = json.loads(content)
        except JSON_ERRORS:
            raise error from None  # its message says at which byte
    if _HALF_PAIR.search(json.dumps(value, ensure_ascii=False)):
        raise ValueError("a text in it has half of a surrogate pair, which is not a character")
    return msgspec.convert(value, type)
