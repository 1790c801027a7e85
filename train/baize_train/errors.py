"""How a command fails, and how it reports what does not stop it."""

from __future__ import annotations

from baize_shared.printing import print_message

PROGRAM = "baize-train"


class TrainError(Exception):
    """The command cannot continue; the message is one line that names the problem and a remedy."""


def warn(message: str) -> None:
    """Print one line for the user on stderr."""
    print_message(PROGRAM, message)
