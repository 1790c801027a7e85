"""Contrast of the text on a screen, as WCAG 2 defines it."""

from __future__ import annotations

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from textual.screen import Screen

LEAST = 4.5
"""Level AA, for text of a normal size."""
LEAST_OF_16 = 3.0
"""Level AA, for large text: what the 16 colours are is up to the terminal."""


def luminance(colour: Color) -> float:
    """Relative luminance, from 0 (black) to 1 (white)."""
    parts = [part / 255 for part in colour.get_truecolor()]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(style: Style) -> float:
    """From 1 (text in the colour of its background) to 21 (black and white)."""
    assert style.color is not None
    assert style.bgcolor is not None
    darker, lighter = sorted((luminance(style.color), luminance(style.bgcolor)))
    return (lighter + 0.05) / (darker + 0.05)


def hard_to_read(screen: Screen[object], least: float = LEAST) -> list[str]:
    """The words of ``screen`` with less contrast than ``least``, each with it and its colours.

    What is behind a dialog is dimmed on purpose.
    """
    found = set()
    for y, strip in enumerate(screen._compositor.render_strips()):
        x = 0
        for text, style, _ in strip:
            behind = screen.get_widget_at(x, y)[0] is screen
            x += cell_len(text)
            if behind or style is None or not any(map(str.isalnum, text)):
                continue
            if contrast(style) < least:
                found.add(f"{text.strip()!r}: {contrast(style):.1f}, {style}")
    return sorted(found)
