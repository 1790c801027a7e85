"""The base of errors whose message a person reads."""

from __future__ import annotations

from baize_shared.sanitizer import clean_line

_LONGEST = 1000
"""Characters of a message; names can have any length."""


class OneLineError(Exception):
    """An error with one line for the person.

    Messages name files, models and settings, whose names come from outside: so the line is
    sanitized here, and every screen and command can show it as it is.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shorten_message(message))


def shorten_message(message: str) -> str:
    """``message`` as one clean line; of a very long one the middle is left out.

    It begins with a name, and ends with the reason.
    """
    line = clean_line(message, len(message))
    if len(line) <= _LONGEST:
        return line
    return f"{line[: _LONGEST // 2 - 1]}…{line[-_LONGEST // 2 :]}"
