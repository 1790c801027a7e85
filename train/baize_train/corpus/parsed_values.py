"""Values as a parser has made them, in the form that the readers of records take."""

from __future__ import annotations

import math
from typing import Any

from baize_shared.sanitizer import without_surrogates

_DEEPEST = 100
"""Lists and objects inside each other in a record."""


def clean_value(value: Any) -> Any:
    """``value`` with texts that can be encoded, and with null for NaN, which is what pandas writes
    for a value that is missing.

    Raises:
        RecursionError: it is nested more deeply than any real record. Parsers in C go deeper than
            code in Python can.
    """
    return _without_nan(without_surrogates(value), 0)


def _without_nan(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise RecursionError
    match value:
        case float():
            return None if math.isnan(value) else value
        case list():
            return [_without_nan(item, depth + 1) for item in value]
        case dict():
            return {key: _without_nan(item, depth + 1) for key, item in value.items()}
    return value
