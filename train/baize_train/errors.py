"""The one way a command fails, and the one way it says what does not stop it."""

from __future__ import annotations

import sys


class TrainError(Exception):
    """It cannot go on; the message is one line that names what is wrong and what to do."""


def harmless(text: str) -> str:
    """Texts from outside are data: nothing in them is a command to the terminal, nor a new line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def warn(line: str) -> None:
    """A line for the person, on stderr."""
    print(f"baize-train: {harmless(line)}", file=sys.stderr)
