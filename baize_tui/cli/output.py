"""Messages and progress on stderr, and the name of the program in front of them."""

from __future__ import annotations

from baize_shared import printing
from baize_shared.printing import ProgressLine, print_message
from baize_tui.shared_texts import tr_shared

PROGRAM = "baize-tui"


def tell(line: str) -> None:
    """Print one line on stderr."""
    print_message(PROGRAM, line)


def warn_about_encoding() -> None:
    """Say that characters are escaped, where stdout cannot encode all of them."""
    printing.warn_about_encoding(PROGRAM, tr_shared)


def progress_line() -> ProgressLine:
    return ProgressLine(PROGRAM)
