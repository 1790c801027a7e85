"""On which line each entry of a transcript begins, and the lines of those that are drawn.

A conversation may have thousands of turns. Each has an estimated height until it is drawn, and only
those drawn last keep their lines.

The number of a line changes when a height above it turns out different, and when earlier turns are
inserted. Its address does not change: that of its entry plus its place in the entry. Addresses grow
from top to bottom, and are what a selection consists of.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate

from baize_tui.app.transcript.line_parts import Line
from baize_tui.app.transcript.look import Look
from baize_tui.app.transcript.turn import Entry

KEPT_DRAWN = 60
"""The number of entries that keep their lines; those drawn first lose them first."""
_ADDRESSES = 1 << 40
"""From the address of an entry to that of the next one: more than an entry has lines, and room for
entries between the two."""


class Layout:
    """Entries from top to bottom, each with a blank line below it."""

    def __init__(self) -> None:
        self._entries: Sequence[Entry] = ()
        self._starts = [0]
        self._addresses: list[int] = []
        self._drawn: OrderedDict[int, Entry] = OrderedDict()

    def lay_out(self, entries: Sequence[Entry], width: int) -> None:
        """Lay out ``entries``; those without a height get an estimate for ``width`` cells."""
        self._entries = entries
        for entry in entries:
            if not entry.height:
                entry.height = entry.estimate(width)
        self._addresses = assign_addresses(entries)
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

    # --- addresses ------------------------------------------------------------------------------

    def address(self, line: int) -> int:
        """The address of a line; those below the last entry continue it."""
        if not self._addresses:
            return line
        at = min(self.index_at(line), len(self._addresses) - 1)
        return self._addresses[at] + line - self._starts[at]

    def place(self, address: int) -> tuple[int, int]:
        """The index of the entry with the line at ``address``, and the place of the line in it."""
        at = max(bisect_right(self._addresses, address) - 1, 0)
        return at, max(address - self._addresses[at], 0) if self._addresses else 0

    def lines_between(
        self, first: int, last: int, width: int, look: Look
    ) -> Iterator[tuple[int, Line | None]]:
        """The lines from address ``first`` to ``last``, each with its address; None if it is blank.

        What is not drawn yet is drawn and not kept: it may be thousands of turns.
        """
        begin, _ = self.place(first)
        for entry, address in zip(self._entries[begin:], self._addresses[begin:], strict=True):
            if address > last:
                return
            lines = entry.lines or entry.draw(width, look)
            for place, line in enumerate([*lines, None]):
                if first <= address + place <= last:
                    yield address + place, line

    # --- drawing --------------------------------------------------------------------------------

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


def assign_addresses(entries: Sequence[Entry]) -> list[int]:
    """The addresses of ``entries``; those without one get one between their neighbours'."""
    addresses: list[int] = []
    new: list[Entry] = []
    for entry in entries:
        new.append(entry)
        if entry.address is not None:
            addresses += _between(addresses[-1] if addresses else None, entry.address, len(new) - 1)
            addresses.append(entry.address)
            new = []
    addresses += _between(addresses[-1] if addresses else None, None, len(new))
    for entry, address in zip(entries, addresses, strict=True):
        entry.address = address
    return addresses


def _between(above: int | None, below: int | None, count: int) -> list[int]:
    """``count`` addresses in order, above ``below`` and below ``above`` where these are given."""
    if above is None:
        first = 0 if below is None else below - count * _ADDRESSES
        return [first + number * _ADDRESSES for number in range(count)]
    step = _ADDRESSES if below is None else (below - above) // (count + 1)
    return [above + step * number for number in range(1, count + 1)]
