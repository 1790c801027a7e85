"""The error that ends a command, and warnings that do not."""

from __future__ import annotations

from baize_shared.one_line_error import OneLineError
from baize_shared.printing import print_message

PROGRAM = "baize-train"


class TrainError(OneLineError):
    """The command cannot continue; the message is one line that names the problem and a remedy."""


def warn(message: str) -> None:
    """Print one line for the user on stderr."""
    print_message(PROGRAM, message)
