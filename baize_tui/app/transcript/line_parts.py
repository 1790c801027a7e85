"""What is text in a drawn line and what is decoration, and where a line continues the one above.

Both are marks on the styles of its segments, so they pass through everything that Rich draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from baize_tui.app.line_breaks import has_ideographs, line_ends

Line = list[Segment]
"""A drawn line; only those on the screen become ``Strip``s of Textual, which have caches."""
TAB = 4
"""Cells between two tab stops."""
_DECORATION, _CONTINUES = "decoration", "continues"
DECORATION = Style(meta={_DECORATION: True})
"""Added to the style of margins, notes and the like, which are neither selected nor copied."""


@lru_cache(maxsize=256)
def continues(separator: str) -> Style:
    """Added to the style of a line that continues the one above; in the text, ``separator`` is
    between the two."""
    return Style(meta={_CONTINUES: separator})


def decoration(text: str, style: Style) -> Segment:
    return Segment(text, style + DECORATION)


def as_decoration(lines: Sequence[Line]) -> list[Line]:
    return [[decoration(part.text, part.style or Style.null()) for part in line] for line in lines]


class TextPart(NamedTuple):
    """A piece of a line that belongs to the text; ``start`` counts characters of the line."""

    start: int
    text: str
    continues: str | None
    """What separates it from the line above if it continues that; else None."""


def text_parts(line: Line) -> Iterator[TextPart]:
    """The pieces of ``line`` without its decoration."""
    at = 0
    for segment in line:
        meta = segment.style.meta if segment.style is not None else {}
        if segment.text and _DECORATION not in meta:
            yield TextPart(at, segment.text, meta.get(_CONTINUES))
        at += len(segment.text)


class WrappedText:
    """A text whose wrapped lines are marked as continued, so that copying joins them again."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in wrap(self._text, console, options.max_width):
            yield from line.render(console, end="\n")


def wrap(text: Text, console: Console, width: int) -> Iterator[Text]:
    """The lines of ``text``, each ``width`` cells wide at most; those that continue another one
    are marked."""
    for whole in text.split(allow_blank=True):
        whole.expand_tabs(TAB)
        end = 0
        for number, piece in enumerate(_broken(whole, console, width)):
            words = piece.plain.rstrip()
            start = max(whole.plain.find(words, end), end)
            # Rich leaves out the style of a text that has no other.
            # Before its other styles, which win.
            piece.stylize_before(continues(whole.plain[end:start]) if number else piece.style)
            end = start + len(words)
            yield piece


def _broken(text: Text, console: Console, width: int) -> Iterable[Text]:
    if not has_ideographs(text.plain):
        return text.wrap(console, width)
    lines = text.divide(line_ends(text.plain, width))
    for line in lines:
        line.rstrip_end(width)
    return lines
