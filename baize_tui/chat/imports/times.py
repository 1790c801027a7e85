"""Times as other programs write them."""

from __future__ import annotations

import datetime
import math

Time = float | int | str | None
"""Seconds, milliseconds, microseconds or nanoseconds since 1970, or ISO 8601; None is unknown."""

LATEST = 253402300799.0
"""The last second of the year 9999."""
_MOST_SECONDS = 1e11
"""In the year 5138. A larger number is in a smaller unit."""


def read_time(value: Time) -> float | None:
    """Seconds since 1970, UTC; None if it is unknown or makes no sense."""
    if isinstance(value, str):
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
