"""Rows in columns: the first to the left, numbers to the right."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line for each row; all have the same number of cells."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(_cells(row, widths)).rstrip() for row in rows]


def _cells(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *rest = (
        cell.ljust(w) if not at else cell.rjust(w)
        for at, (cell, w) in enumerate(zip(row, widths, strict=True))
    )
    return [first, *rest]
