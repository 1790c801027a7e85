"""The error of every conversion that cannot be done."""

from __future__ import annotations

_LONGEST_REASON = 200


class ConvertError(Exception):
    """The conversion cannot be done; the message is one line that names the file and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))  # names in files may have several lines


def reason(error: Exception) -> str:
    """The message of a library's exception on one line, for use inside a ``ConvertError``."""
    return " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
