"""The last check before the terminal."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color

from baize_shared.sanitizer import harmful_characters, is_harmless
from baize_tui.app.harmless_lines import HarmlessLines

BLACK = Color(0, 0, 0)


def test_lines_of_text_stay_the_same_objects() -> None:
    line = [Segment("你好"), Segment(" plain")]
    assert HarmlessLines().apply(line, BLACK) is line


def test_every_harmful_character_is_replaced_and_the_line_keeps_its_width() -> None:
    for char in harmful_characters():
        before = f"a{char}b"
        (segment,) = HarmlessLines().apply([Segment(before)], BLACK)
        assert all(map(is_harmless, segment.text)), ascii(char)
        assert cell_len(segment.text) == cell_len(before), ascii(char)
