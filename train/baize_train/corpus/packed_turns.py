"""Turns that a table has as text in its cells: as JSON, or as pandas prints Python's lists."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping
from itertools import chain
from typing import Any

from baize_shared.json_errors import JSON_ERRORS
from baize_train.corpus.parsed_values import clean_value
from baize_train.corpus.unreadable import UnreadableRecord

ROLE_KEYS = ("role", "from")
_TOGETHER = (
    ("chosen", "rejected"),
    ("preferred_output", "non_preferred_output"),
    ("prompt", "completion"),
)
"""Keys with turns or with texts. A single one that looks like turns may be a text about them."""

_LONGEST_PRINTED = 1_000_000
"""Characters: Python's parser takes some hundred bytes of memory for each."""
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
        return clean_value(json.loads(text))
    except JSON_ERRORS:
        if len(text) > _LONGEST_PRINTED:
            return None
    try:
        with warnings.catch_warnings(action="ignore"):  # about escapes in its texts
            return clean_value(ast.literal_eval(text.strip()))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def unpack_turns(record: dict[str, Any]) -> dict[str, Any]:
    """``record`` with lists of turns for the texts that are such lists.

    Raises:
        UnreadableRecord: they look like it, but have another form.
    """
    packed = {key: _turns_in(record.get(key)) for key in dict.fromkeys(chain(*_TOGETHER))}
    keys = next((keys for keys in _TOGETHER if all(packed[key] for key in keys)), None)
    if keys is None:
        _refuse_printed_turns(record)
        return record
    return record | {key: packed[key] for key in (*keys, "prompt") if packed[key]}


def _refuse_printed_turns(record: Mapping[str, Any]) -> None:
    for keys in _TOGETHER:
        texts = [record.get(key) for key in keys]
        if all(isinstance(text, str) and _PRINTED.match(text) for text in texts):
            raise UnreadableRecord(
                f"its {keys[0]} is a text with turns that is not JSON: save the data as JSON Lines "
                "or Parquet"
            )


def _turns_in(text: Any) -> Any:
    """The turn or the list of turns that a text is; None for anything else."""
    value = unpack(text) if isinstance(text, str) else None
    return value if value and all(map(is_turn, [value] if is_turn(value) else value)) else None
