"""Durations in the headers and the words of servers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"\d{1,13}(?:\.\d{1,9})?")
_PARTS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|us|µs|ns|d|h|m|s)")
_WAIT = re.compile(
    r"\b(?:retry|try again) (?:in|after) ((?:\d{1,9}(?:\.\d{1,9})? ?[a-z]{1,12} ?)+)", re.I
)
_WORDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(ms|milli|h|m|s)", re.I)
_SECONDS = {
    **{"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "milli": 0.001},
    **{"us": 1e-6, "µs": 1e-6, "ns": 1e-9},
}
_FIRST_TIME, _FIRST_TIME_MS = 1e9, 1e12
"""A number from here on is a time since 1970, in seconds or milliseconds, and no duration."""


def read_duration(text: str, sent: str = "") -> float | None:
    """Seconds in ``12``, ``0.5``, ``6m0s``, ``20ms``, or until a date or a time since 1970; None
    in anything else.

    ``sent`` is the server's own ``Date``, because its clock and this one can differ.
    """
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        parts = _PARTS.findall(text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if (at := _read_time(text)) is not None:
        return max(0.0, (at - (_read_time(sent) or datetime.now(UTC))).total_seconds())
    first = text.partition(",")[0].strip()  # of a header that a proxy has sent twice
    return float(first) if _NUMBER.fullmatch(first) else None


def read_wait(text: str) -> float | None:
    """Seconds in "Please try again in 1m7.5s" or "retry after 6 seconds"; None if it says none."""
    if (stated := _WAIT.search(text)) is None:
        return None
    parts = _WORDS.findall(stated[1])
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts) if parts else None


def _read_time(text: str) -> datetime | None:
    """The time in an HTTP date, an ISO date, or a number since 1970."""
    try:
        if _NUMBER.fullmatch(text):
            number = float(text)
            seconds = number / 1000 if number >= _FIRST_TIME_MS else number
            return datetime.fromtimestamp(seconds, UTC) if number >= _FIRST_TIME else None
        iso = re.match(r"\d{4}-\d\d-\d\d", text)
        at = datetime.fromisoformat(text) if iso else parsedate_to_datetime(text)
    except (ValueError, OverflowError, OSError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
