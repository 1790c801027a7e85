"""The matches of searched words in the turns of a transcript."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style

from baize_tui.app.transcript.found import Match, find_in_lines, with_matches
from baize_tui.app.transcript.line_parts import Line
from baize_tui.app.transcript.turn import Entry, Turn
from baize_tui.store.words import Term

KEPT_TURNS = 500
"""Turns whose matches are kept."""


class Matches:
    """Finds ``terms`` in turns that are drawn, and knows the match that the person is at."""

    def __init__(self, terms: Sequence[Term] = ()) -> None:
        self.terms = tuple(terms)
        self._here: tuple[int, int] | None = None
        """The message of the match that the person is at, and its place among those of its turn."""
        self._known: dict[int, tuple[Sequence[Line], list[Match]]] = {}
        """The matches in entries, by their identity, and the lines that they were found in."""

    def go_to(self, turn: Turn, place: int) -> int:
        """Be at a match of ``turn``, counted from 0; the last if it has fewer. Returns the line of
        the turn that it begins in; 0 if there is none."""
        matches = self._matches_in(turn)
        place = min(place, len(matches) - 1)
        self._here = turn.message.id, place
        return matches[place][0].line if matches else 0

    def highlight(
        self, line: Line, entry: Entry, number: int, style: Style, style_here: Style
    ) -> Line:
        """Line ``number`` of ``entry`` with its matches in ``style``, and the match that the person
        is at in ``style_here``."""
        message_id = entry.message.id if isinstance(entry, Turn) else None
        pieces = [
            (piece, style_here if (message_id, place) == self._here else style)
            for place, match in enumerate(self._matches_in(entry))
            for piece in match
            if piece.line == number
        ]
        return with_matches(line, pieces)

    def _matches_in(self, entry: Entry) -> list[Match]:
        """The matches in the lines of an entry, which is drawn."""
        if not self.terms or not isinstance(entry, Turn) or entry.lines is None:
            return []
        known = self._known.get(id(entry))
        if known is None or known[0] is not entry.lines:
            if len(self._known) > KEPT_TURNS:
                self._known.clear()
            known = self._known[id(entry)] = (
                entry.lines,
                find_in_lines(entry.lines, self.terms),
            )
        return known[1]
