"""Times as words of the search index: a year and a month, in UTC."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

_FIRST_YEAR, _LAST_YEAR = 1970, 2100
"""Times before and after count as these years."""


def month_words(seconds: float) -> str:
    """The words of a time, in seconds since 1970."""
    year, month = _month(seconds)
    return f"{year} {year}{month:02}"


def months_between(after: float | None, before: float | None) -> Iterator[str]:
    """Words, one of which every time between the two has; some times outside have one as well."""
    year, month = (_FIRST_YEAR, 1) if after is None else _month(after)
    last = (_LAST_YEAR, 12) if before is None else _month(before)
    while (year, month) <= last:
        if month == 1 and (year, 12) <= last:
            yield str(year)
            year += 1
        else:
            yield f"{year}{month:02}"
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)


def _month(seconds: float) -> tuple[int, int]:
    try:
        time = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return (_LAST_YEAR, 12) if seconds > 0 else (_FIRST_YEAR, 1)
    first, last = (_FIRST_YEAR, 1), (_LAST_YEAR, 12)
    return min(max((time.year, time.month), first), last)
