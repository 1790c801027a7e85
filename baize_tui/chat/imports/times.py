"""Times as other programs write them."""

from __future__ import annotations

import datetime
import math
import re

Time = float | int | str | None
"""Seconds, milliseconds, microseconds or nanoseconds since 1970, also as text, or ISO 8601; None is
unknown."""

LATEST = 253402300799.0
"""The last second of the year 9999."""
_NUMBER = re.compile(r"\d{9,19}(\.\d{1,9})?", re.ASCII)
"""A number as text; fewer digits are a date such as 20250301."""
_MOST_SECONDS = 1e11
"""In the year 5138. A larger number is in a smaller unit."""


def read_time(value: Time) -> float | None:
    """Seconds since 1970, UTC; None if it is unknown or makes no sense."""
    if isinstance(value, str):
        if _NUMBER.fullmatch(value.strip()):
            return read_time(float(value))
        try:
            moment = datetime.datetime.fromisoformat(value.strip())
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return max(moment.timestamp(), 0.0)
    if value is None or not math.isfinite(value) or value <= 0:
        return None
    for unit in (1.0, 1e3, 1e6, 1e9):
        if value / unit < _MOST_SECONDS:
            return value / unit
    return None
