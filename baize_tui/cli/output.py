"""Messages and progress on stderr, and the name of the program in front of them."""

from __future__ import annotations

from baize_shared.printing import ProgressLine, print_message

PROGRAM = "baize-tui"


def tell(line: str) -> None:
    """Print one line on stderr."""
    print_message(PROGRAM, line)


def progress_line() -> ProgressLine:
    return ProgressLine(PROGRAM)
