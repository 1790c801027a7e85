"""Files that people write: TOML, or Markdown with fields in front.

A Markdown file begins with YAML between two lines ``---``, or TOML between two lines ``+++``. What
follows is one more field.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from baize_shared.regular_files import open_regular
from baize_shared.sanitizer import clean_values
from baize_shared.toml_files import TomlError, decode_toml

MARKDOWN = ".md"
_LARGEST = 1 << 20
"""Bytes; what people write by hand is far smaller."""
_FRONT = re.compile(
    r"\A(---|\+\+\+)[ \t]*\n(.*?)(?:^|\n)\1[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE
)

T = TypeVar("T")


def read_written_file(file: Path, type: type[T], body: str) -> T:
    """The content of a TOML or Markdown file; the text of a Markdown file is the field ``body``.

    Its texts are sanitized.

    Raises:
        OSError: it cannot be read.
        TomlError: it is not UTF-8, or has another structure; the message is one line without the
            name of the file.
    """
    with open_regular(file) as opened:
        raw = opened.read(_LARGEST + 1)
    if file.suffix.lower() != MARKDOWN:
        return decode_toml(raw, type)
    if len(raw) > _LARGEST:
        raise TomlError(f"more than {_LARGEST} bytes are too many")
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise TomlError("it is not a text in UTF-8") from error
    fields, rest = _split(text)
    if body in fields:
        raise TomlError(f"{body} is the text below the fields, and cannot be one of them")
    try:
        return msgspec.convert(clean_values({**fields, body: rest.strip("\n")}), type)
    except RecursionError as error:
        raise TomlError("it is nested too deeply") from error
    except msgspec.ValidationError as error:
        raise TomlError(str(error)) from error


def _split(text: str) -> tuple[dict[str, Any], str]:
    """The fields in front of a Markdown text, and the text.

    Raises:
        TomlError: the fields cannot be read.
    """
    front = _FRONT.match(text)
    if front is None:
        return {}, text
    fields = _read_yaml(front[2]) if front[1] == "---" else _read_toml(front[2])
    return fields, text[front.end() :]


def _read_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise TomlError(str(error)) from error


def _read_yaml(text: str) -> dict[str, Any]:
    # Imported when used: most files are TOML.
    import yaml

    try:
        fields = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TomlError(f"the fields are not YAML: {error}") from error
    if fields is None:
        return {}
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        raise TomlError("the fields are not a table with names")
    return fields
