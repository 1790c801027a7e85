"""Durations in the headers and the words of servers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_PARTS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|h|m|s)")
_WAIT = re.compile(
    r"\b(?:retry|try again) (?:in|after) ((?:\d{1,9}(?:\.\d{1,9})? ?[a-z]{1,12} ?)+)", re.I
)
_WORDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(ms|milli|h|m|s)", re.I)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "milli": 0.001}


def read_duration(text: str, sent: str = "") -> float | None:
    """Seconds in ``12``, ``0.5``, ``6m0s``, ``20ms`` or until an HTTP date; None in anything else.

    ``sent`` is the server's own ``Date``, because its clock and this one can differ.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    parts = _PARTS.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if (at := _read_date(text)) is None:
        return None
    return max(0.0, (at - (_read_date(sent) or datetime.now(UTC))).total_seconds())


def read_wait(text: str) -> float | None:
    """Seconds in "Please try again in 1m7.5s" or "retry after 6 seconds"; None if it says none."""
    if (stated := _WAIT.search(text)) is None:
        return None
    parts = _WORDS.findall(stated[1])
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts) if parts else None


def _read_date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
