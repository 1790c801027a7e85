"""The error of every conversion that cannot be done."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten

from baize_shared.one_line_error import OneLineError

_LONGEST_REASON = 300


class ConvertError(OneLineError):
    """The conversion cannot be done; the message is one line that names the file and the remedy."""


def reason(error: Exception) -> str:
    """The message of a library's exception on one line, for use inside a ``ConvertError``."""
    text = " ".join(str(error).split())
    return shorten(text, _LONGEST_REASON, placeholder=" …") or type(error).__name__


def first_few(items: Sequence[str], separator: str = ", ", limit: int = 3) -> str:
    """The first ``limit`` items, and how many more there are, for one readable line."""
    shown = separator.join(items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
