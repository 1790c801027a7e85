"""The error of every conversion that cannot be done."""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST_REASON = 200


class ConvertError(Exception):
    """The conversion cannot be done; the message is one line that names the file and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))  # names in files may have several lines


def reason(error: Exception) -> str:
    """The message of a library's exception on one line, for use inside a ``ConvertError``."""
    return " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__


def first_few(items: Sequence[str], separator: str = ", ", limit: int = 3) -> str:
    """The first ``limit`` items, and how many more there are, for one readable line."""
    shown = separator.join(items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
