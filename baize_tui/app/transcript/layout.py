"""On which line each entry of a transcript begins, and the lines of those that are drawn.

A conversation may have thousands of turns. Each has an estimated height until it is drawn, and only
those drawn last keep their lines.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate

from baize_tui.app.transcript.look import Line, Look
from baize_tui.app.transcript.turn import Entry

KEPT_DRAWN = 60
"""The number of entries that keep their lines; those drawn first lose them first."""


class Layout:
    """Entries from top to bottom, each with a blank line below it."""

    def __init__(self) -> None:
        self._entries: Sequence[Entry] = ()
        self._starts = [0]
        self._drawn: OrderedDict[int, Entry] = OrderedDict()

    def lay_out(self, entries: Sequence[Entry], width: int) -> None:
        """Lay out ``entries``; those without a height get an estimate for ``width`` cells."""
        self._entries = entries
        for entry in entries:
            if not entry.height:
                entry.height = entry.estimate(width)
        self.update_starts()

    def update_starts(self) -> None:
        """Heights have changed."""
        self._starts = [0, *accumulate(entry.height for entry in self._entries)]

    @property
    def entries(self) -> Sequence[Entry]:
        return self._entries

    @property
    def height(self) -> int:
        """Lines of all entries together."""
        return self._starts[-1]

    def start(self, index: int) -> int:
        """The line on which entry ``index`` begins; for the number of entries, the end."""
        return self._starts[index]

    def index_at(self, line: int) -> int:
        """The index of the entry that contains ``line``; below the last, the number of entries."""
        return max(bisect_right(self._starts, line) - 1, 0)

    def entry_at(self, line: int) -> Entry | None:
        at = self.index_at(line)
        return self._entries[at] if at < len(self._entries) else None

    def draw(self, entry: Entry, width: int, look: Look) -> int:
        """Draw ``entry`` unless it is drawn; returns by how many lines its height has grown.

        The starts are not updated: call ``update_starts`` once all entries in sight are drawn.
        """
        if entry.lines is not None:
            if id(entry) in self._drawn:
                self._drawn.move_to_end(id(entry))
            return 0
        before = entry.height
        entry.lines = entry.draw(width, look)
        entry.height = len(entry.lines) + 1
        self._drawn[id(entry)] = entry
        if len(self._drawn) > KEPT_DRAWN:
            self._drawn.popitem(last=False)[1].lines = None
        return entry.height - before

    def line(self, number: int, width: int, look: Look) -> Line | None:
        """Line ``number`` from the top, drawn if necessary; None if it is blank."""
        at = self.index_at(number)
        if at >= len(self._entries):
            return None
        entry = self._entries[at]
        if entry.lines is None:
            self.draw(entry, width, look)
        lines = entry.lines or []
        within = number - self._starts[at]
        return lines[within] if within < len(lines) else None

    def forget(self, entry: Entry) -> None:
        """Have ``entry`` drawn again when it is next in sight."""
        entry.lines = None
        self._drawn.pop(id(entry), None)

    def forget_all(self, *, heights: bool = False) -> None:
        """Have every entry drawn again; with ``heights``, after a change of width, their heights
        are estimated again too."""
        for entry in self._entries:
            entry.lines = None
            if heights:
                entry.height = 0
        self._drawn.clear()
