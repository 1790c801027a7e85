"""Rows in columns: the first aligned to the left, the others, which are numbers, to the right."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def table(rows: Sequence[Sequence[str]], width_of: Callable[[str], int] = len) -> list[str]:
    """A line for each row; all have the same number of cells. ``width_of`` measures a text that may
    have wide characters."""
    widths = [max(width_of(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines: list[str] = []
    for row in rows:
        blanks = [" " * (width - width_of(cell)) for cell, width in zip(row, widths, strict=True)]
        numbers = [blank + cell for cell, blank in zip(row[1:], blanks[1:], strict=True)]
        lines.append("  ".join([row[0] + blanks[0], *numbers]).rstrip())
    return lines
