"""The styles of a transcript, and plain texts drawn in them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct
from rich.console import Console, RenderableType
from rich.style import Style
from rich.text import Text
from rich.theme import Theme

from baize_tui.app.transcript.line_parts import Line, WrappedText

BETWEEN_PARTS = " · "


class Look(Struct, frozen=True):
    """The styles of a transcript, from the theme in use."""

    text: Style
    dim: Style
    accent: Style
    warning: Style
    problem: Style
    code: Style
    selected: Style
    dark: bool
    few_colours: bool

    @property
    def code_theme(self) -> str:
        """Name of the Pygments style for code."""
        if self.dark:
            return "github-dark"
        return "bw" if self.few_colours else "xcode"  # few of 16 colours are readable on white

    def console(self, width: int) -> Console:
        """A console in which Rich draws lines of ``width`` cells; its output is discarded."""
        return _console(self, width)


@lru_cache(maxsize=16)
def _console(look: Look, width: int) -> Console:
    theme = Theme(
        {
            "markdown.paragraph": Style(),
            "markdown.code": Style(color=look.accent.color),
            "markdown.code_block": look.code,
            "markdown.block_quote": look.text,
            "markdown.block_quote_bar": look.dim,
            "markdown.list": Style(),
            "markdown.item.bullet": look.accent,
            "markdown.item.number": look.accent,
            "markdown.hr": look.dim,
            "markdown.code_head": look.dim,
            "markdown.h1": look.accent + Style(bold=True, underline=True),
            "markdown.h2": look.accent + Style(bold=True),
            "markdown.h3": Style(bold=True),
            "markdown.h4": Style(bold=True, italic=True),
            "markdown.h5": Style(italic=True),
            "markdown.h6": Style(italic=True),
            "markdown.link": Style(underline=True),
            "markdown.link_url": Style(underline=True),
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


def draw_lines(renderable: RenderableType, console: Console, look: Look) -> list[Line]:
    """The lines of a renderable, on the background of the transcript."""
    return console.render_lines(renderable, console.options, style=look.text, pad=True)


def plain_lines(text: str | Text, width: int, look: Look, style: Style) -> list[Line]:
    """The lines of a text without Markdown, wrapped; ``style`` is below its own styles."""
    styled = Text(style=style)
    styled.append(text) if isinstance(text, str) else styled.append_text(text)
    return draw_lines(WrappedText(styled), look.console(width), look)


def line_text(line: Line) -> str:
    return "".join(segment.text for segment in line)


def estimate_height(text: str, width: int) -> int:
    """About how many lines a text has once it is wrapped."""
    return sum(1 + len(line) // max(width, 1) for line in text.split("\n"))


def join_parts(parts: Sequence[str]) -> str:
    """The parts that are not empty, with dots between them."""
    return BETWEEN_PARTS.join(part for part in parts if part)
