"""Turns that a table has as text in its cells: as JSON, or as pandas prints Python's lists."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping
from typing import Any

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.sanitizer import without_surrogates
from baize_train.corpus.unreadable import UnreadableRecord

ROLE_KEYS = ("role", "from")
_TOGETHER = (
    ("chosen", "rejected"),
    ("preferred_output", "non_preferred_output"),
    ("prompt", "completion"),
)
"""Keys with turns or with texts. A single one that looks like turns may be a text about them."""

_PRINTED = re.compile(r"""\s*\[?\s*\{['"](?:role|from|content|value)['"]: *['"]""")
"""How turns begin, also where NumPy printed them without commas, or left out the middle."""


def is_turn(value: Any) -> bool:
    """Whether ``value`` says who speaks in it."""
    return isinstance(value, dict) and any(value.get(key) is not None for key in ROLE_KEYS)


def unpack(text: str) -> Any:
    """The lists and objects in ``text``; None if it has none."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        return without_surrogates(json.loads(text))
    except JSON_ERRORS:
        pass
    try:
        with warnings.catch_warnings(action="ignore"):  # about escapes in its texts
            return without_surrogates(ast.literal_eval(text.strip()))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def unpack_turns(record: dict[str, Any]) -> dict[str, Any]:
    """``record`` with lists of turns for the texts that are such lists.

    Raises:
        UnreadableRecord: they look like it, but have another form.
    """
    keys = next((keys for keys in _TOGETHER if all(_has_turns(record, key) for key in keys)), None)
    if keys is None:
        _refuse_printed_turns(record)
        return record
    packed = {key for key in (*keys, "prompt") if _has_turns(record, key)}
    return {key: unpack(value) if key in packed else value for key, value in record.items()}


def _refuse_printed_turns(record: Mapping[str, Any]) -> None:
    for keys in _TOGETHER:
        texts = [record.get(key) for key in keys]
        if all(isinstance(text, str) and _PRINTED.match(text) for text in texts):
            raise UnreadableRecord(
                f"its {keys[0]} is a text with turns that is not JSON: save the data as JSON Lines "
                "or Parquet"
            )


def _has_turns(record: Mapping[str, Any], key: str) -> bool:
    text = record.get(key)
    value = unpack(text) if isinstance(text, str) else None
    return is_turn(value) or (isinstance(value, list) and bool(value) and all(map(is_turn, value)))
