"""Messages and progress of ``baize-tui`` on stderr."""

from __future__ import annotations

from baize_shared.printing import ProgressLine, print_message

PROGRAM = "baize-tui"


def tell(line: str) -> None:
    """A line for the person."""
    print_message(PROGRAM, line)


def progress_line() -> ProgressLine:
    return ProgressLine(PROGRAM)
