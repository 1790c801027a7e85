"""Text of a transcript that is selected with the mouse.

The ends of a selection are characters of drawn lines: ``x`` counts from the left margin, and ``y``
is an address (see ``Layout``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Offset
from textual.strip import Strip

from baize_tui.app.transcript.layout import Layout
from baize_tui.app.transcript.line_parts import Line, TextPart, text_parts
from baize_tui.app.transcript.look import Look, line_text

Ends = tuple[Offset, Offset]
"""The first character of a selection, and the one after its last."""
LineAt = Callable[[int], Line | None]
"""Gives the drawn line at an address; None if there is none."""
LINE_END = 1 << 30
"""A place after the last character of any line."""
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]+")


def selected_text(ends: Ends, layout: Layout, width: int, look: Look) -> str:
    """The text between ``ends``, without margins, and without the breaks of wrapped lines."""
    start, end = ends
    lines: list[str] = []
    for address, line in layout.lines_between(start.y, end.y, width, look):
        first = start.x if address == start.y else 0
        last = end.x if address == end.y else LINE_END
        parts = list(text_parts(line)) if line is not None else []
        continuing = next((part for part in parts if part.continues is not None), None)
        if continuing is not None and lines:
            rest = [part for part in parts if part.start >= continuing.start]
            lines[-1] += f"{continuing.continues}{_cut(rest, first, last)}"
        elif parts or line is None:
            lines.append(_cut(parts, first, last))
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def _cut(parts: Sequence[TextPart], first: int, last: int) -> str:
    texts = (part.text[max(first - part.start, 0) : max(last - part.start, 0)] for part in parts)
    return "".join(texts).rstrip()


def span_in_line(ends: Ends | None, address: int) -> tuple[int, int] | None:
    """The characters between ``ends`` of the line at ``address``; None if there are none."""
    if ends is None or not ends[0].y <= address <= ends[1].y:
        return None
    start, end = ends
    return start.x if address == start.y else 0, end.x if address == end.y else LINE_END


def ends_of_word(place: Offset, line_at: LineAt) -> Ends | None:
    """The ends of the word, or the punctuation, at ``place``; None if there is neither."""
    line = line_at(place.y)
    span = word_at(line, place.x) if line is not None else None
    return None if span is None else (Offset(span[0], place.y), Offset(span[1], place.y))


def ends_of_text_line(place: Offset, line_at: LineAt) -> Ends:
    """The ends of a line of the text, which may be several lines of the screen."""
    first = last = place.y
    while _continues(line_at(first)):
        first -= 1
    while _continues(line_at(last + 1)):
        last += 1
    return Offset(0, first), Offset(LINE_END, last)


def _continues(line: Line | None) -> bool:
    """Whether a line continues the one above."""
    return line is not None and any(part.continues is not None for part in text_parts(line))


def word_at(line: Line, x: int) -> tuple[int, int] | None:
    """The characters of the word at ``x``, or of the punctuation; None if there is neither."""
    if not any(part.start <= x < part.start + len(part.text) for part in text_parts(line)):
        return None
    words = (match.span() for match in _WORD.finditer(line_text(line)))
    return next((span for span in words if span[0] <= x < span[1]), None)


def highlight(line: Line, first: int, last: int, style: Style) -> Strip:
    """``line`` with its text between the characters ``first`` and ``last`` in ``style``."""
    parts = list(text_parts(line))
    text_end = max((p.start + len(p.text.rstrip()) for p in parts if p.text.strip()), default=0)
    last = min(last, text_end)
    starts = {part.start for part in parts}
    highlighted: list[Segment] = []
    at = 0
    for segment in line:
        text, own = segment.text, segment.style or Style.null()
        begin = min(max(first - at, 0), len(text))
        end = min(max(last - at, begin), len(text)) if at in starts else begin
        highlighted += [
            Segment(text[:begin], own),
            Segment(text[begin:end], own + style),
            Segment(text[end:], own),
        ]
        at += len(text)
    return Strip([segment for segment in highlighted if segment.text])
