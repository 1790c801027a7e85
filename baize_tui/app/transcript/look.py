"""The styles of a transcript, and plain texts as finished lines in them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from rich.theme import Theme

Line = list[Segment]
"""A line as it is kept; a ``Strip`` of Textual, with caches of its own, is made to show it."""
TAB = 4
"""Cells between two stops of the tabulator."""


@dataclass(frozen=True)
class Look:
    """The styles of a transcript, from the theme in use."""

    text: Style
    dim: Style
    accent: Style
    warning: Style
    problem: Style
    code: Style
    chosen: Style
    dark: bool

    @property
    def code_theme(self) -> str:
        """Name of the Pygments style that goes with it."""
        return "github-dark" if self.dark else "friendly"

    def console(self, width: int) -> Console:
        """Where Rich draws lines of ``width`` cells; nothing is written."""
        return _console(self, width)


@lru_cache(maxsize=16)
def _console(look: Look, width: int) -> Console:
    theme = Theme(
        {
            "markdown.paragraph": Style(),
            "markdown.code": Style(color=look.accent.color),
            "markdown.code_block": look.code,
            "markdown.block_quote": look.dim,
            "markdown.list": Style(),
            "markdown.item.bullet": look.accent,
            "markdown.item.number": look.accent,
            "markdown.hr": look.dim,
            "markdown.h1": look.accent + Style(bold=True, underline=True),
            "markdown.h2": look.accent + Style(bold=True),
            "markdown.h3": Style(bold=True),
            "markdown.h4": Style(bold=True, italic=True),
            "markdown.h5": Style(italic=True),
            "markdown.h6": Style(italic=True),
            "markdown.link": Style(underline=True),
            "markdown.link_url": look.dim,
            "markdown.table.border": look.dim,
            "markdown.table.header": Style(bold=True),
        }
    )
    return Console(
        file=io.StringIO(),
        width=width,
        theme=theme,
        color_system="truecolor",
        force_terminal=True,
        legacy_windows=False,
    )


def lines_of(renderable: RenderableType, console: Console, look: Look) -> list[Line]:
    """What Rich draws, on the transcript's own style."""
    return console.render_lines(renderable, console.options, style=look.text, pad=True)


def plain_lines(text: str, width: int, look: Look, style: Style) -> list[Line]:
    """A text as it is, wrapped."""
    return lines_of(Text(text, style, tab_size=TAB), look.console(width), look)


def text_of(line: Line) -> str:
    return "".join(segment.text for segment in line)


def wrapped_height(text: str, width: int) -> int:
    """About how many lines a text will have; drawing it tells."""
    return sum(1 + len(line) // max(width, 1) for line in text.split("\n"))


def join_words(parts: Sequence[str]) -> str:
    """Short words of a dim line, with dots between."""
    return " · ".join(part for part in parts if part)
