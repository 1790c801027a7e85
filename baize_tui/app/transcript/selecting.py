"""Text of a transcript that is selected with the mouse."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Offset
from textual.selection import Selection
from textual.strip import Strip

from baize_tui.app.transcript.layout import Layout
from baize_tui.app.transcript.look import Look, line_text


def selected_text(selection: Selection, layout: Layout, width: int, look: Look) -> str:
    """The text that ``selection`` covers.

    Only the entries it covers are drawn: the others may be thousands of turns.
    """
    first = layout.index_at(selection.start.y if selection.start is not None else 0)
    below = layout.height if selection.end is None else selection.end.y + 1
    above = layout.start(first)
    lines: list[str] = []
    for entry in layout.entries[first:]:
        if above + len(lines) >= below:
            break
        drawn = entry.lines or entry.draw(width, look)
        lines += [*(line_text(line).rstrip() for line in drawn), ""]
    shift = Offset(0, above)
    start, end = selection
    shifted = Selection(
        start - shift if start is not None else None, end - shift if end is not None else None
    )
    return shifted.extract("\n".join(lines))


def highlight_span(strip: Strip, span: tuple[int, int], style: Style) -> Strip:
    """``strip`` with the characters of ``span`` in ``style``; an end of -1 is the line's end."""
    start, end = span
    highlighted: list[Segment] = []
    at = 0
    for segment in strip:
        text = segment.text
        first = min(max(start - at, 0), len(text))
        last = len(text) if end == -1 else min(max(end - at, first), len(text))
        own = segment.style or Style()
        highlighted += [
            Segment(text[:first], own),
            Segment(text[first:last], own + style),
            Segment(text[last:], own),
        ]
        at += len(text)
    return Strip([segment for segment in highlighted if segment.text], strip.cell_length)
