"""The client in a terminal with 16 colours, those of xterm."""

from __future__ import annotations

from functools import cache

import pytest
from rich.color import Color, ColorSystem
from rich.palette import Palette
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as TextualColor
from textual.filter import LineFilter

from baize_tui.app.app import BaizeApp

XTERM = Palette(
    [
        *((0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0)),
        *((0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229)),
        *((127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0)),
        *((92, 92, 255), (255, 0, 255), (0, 255, 255), (255, 255, 255)),
    ]
)


@cache
def seen(style: Style) -> Style:
    """``style`` in the colours that xterm shows for it."""
    return style + Style.from_color(_nearest(style.color), _nearest(style.bgcolor))


def _nearest(colour: Color | None) -> Color | None:
    number = colour.downgrade(ColorSystem.STANDARD).number if colour is not None else None
    return Color.from_triplet(XTERM[number]) if number is not None else None


class SixteenColours(LineFilter):
    """Shows lines as a terminal with 16 colours does."""

    def apply(self, segments: list[Segment], background: TextualColor) -> list[Segment]:
        return [
            Segment(text, seen(style) if style is not None else None, control)
            for text, style, control in segments
        ]


def use_16_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clients that a test starts from now on believe that they are in such a terminal, and
    show what is seen there."""
    monkeypatch.setenv("TERM", "xterm-16color")
    monkeypatch.delenv("COLORTERM", raising=False)
    filters = BaizeApp.get_line_filters
    monkeypatch.setattr(BaizeApp, "get_line_filters", lambda app: [*filters(app), SixteenColours()])
