"""What a person is told after Ctrl-C: whether the same command would continue."""

from __future__ import annotations


class _Run:
    keeps_work = False


def note_kept_work() -> None:
    """Something was written that the next run of this command continues from."""
    _Run.keeps_work = True


def interruption_text() -> str:
    """The line that is printed after Ctrl-C."""
    if _Run.keeps_work:
        return "interrupted; run the same command again to continue"
    return "interrupted"
