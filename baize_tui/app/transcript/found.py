"""Where searched words are in the drawn lines of an entry."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from rich.style import Style

from baize_tui.app.transcript.line_parts import Line, TextPart, text_parts
from baize_tui.app.transcript.selecting import highlight
from baize_tui.store.words import Term, find_terms


class Piece(NamedTuple):
    """Characters of one drawn line that match."""

    line: int
    first: int
    last: int


Match = list[Piece]
"""One match; more than one piece if a line break is in it."""


def find_in_lines(lines: Sequence[Line], terms: Sequence[Term]) -> list[Match]:
    """The matches in drawn ``lines``, also those that a wrapped line divides."""
    text = ""
    starts: list[int] = []  # of the parts, in the text
    places: list[tuple[int, int, int]] = []  # line, first character and length of each part
    for number, line in enumerate(lines):
        parts = _without_padding([*text_parts(line)])
        continuing = next((part for part in parts if part.continues is not None), None)
        if continuing is not None:  # what is before it is an indentation
            parts = [part for part in parts if part.start >= continuing.start]
            text += continuing.continues or ""
        else:
            text += "\n"
        for part in parts:
            starts.append(len(text))
            places.append((number, part.start, len(part.text)))
            text += part.text
    return [_pieces(span, starts, places) for span in find_terms(text, terms)]


def _without_padding(parts: list[TextPart]) -> list[TextPart]:
    """The parts of a line without the blanks at its end."""
    while parts and not parts[-1].text.strip():
        parts.pop()
    if parts:
        parts[-1] = parts[-1]._replace(text=parts[-1].text.rstrip())
    return parts


def _pieces(
    span: tuple[int, int], starts: Sequence[int], places: Sequence[tuple[int, int, int]]
) -> Match:
    begin, end = span
    pieces: Match = []
    for at in range(max(bisect_right(starts, begin) - 1, 0), len(starts)):
        if starts[at] >= end:
            break
        line, first, length = places[at]
        start, stop = max(begin - starts[at], 0), min(end - starts[at], length)
        if start < stop:
            pieces.append(Piece(line, first + start, first + stop))
    return pieces


def with_matches(line: Line, pieces: Sequence[tuple[Piece, Style]]) -> Line:
    """``line`` with its ``pieces`` in their styles."""
    for piece, style in pieces:
        line = list(highlight(line, piece.first, piece.last, style))
    return line
