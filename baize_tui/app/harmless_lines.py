"""The last check before the terminal: no character in a drawn line is one that a terminal obeys.

Texts are sanitized where they enter. This is for those that never passed an entry of ours: what is
typed into a widget of Textual, and whatever an entry has missed.
"""

from __future__ import annotations

from functools import cache

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from baize_shared.sanitizer import REPLACEMENT, harmful_characters


def _replacement(char: str) -> str:
    """What is drawn in place of ``char``, of the same width."""
    return REPLACEMENT if Segment(char).cell_length else ""


@cache
def _drawn_as() -> dict[int, str]:
    """What is drawn in place of each such character. Most screens have none, and making this takes
    5 ms."""
    return {ord(char): _replacement(char) for char in harmful_characters()}


class HarmlessLines(LineFilter):
    """Replaces such characters in place; it is given to ``App.get_line_filters``."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        if all(segment.text.isprintable() for segment in segments):
            return segments
        return [
            Segment(segment.text.translate(_drawn_as()), segment.style, segment.control)
            for segment in segments
        ]
