"""Where lines of Chinese end, alone and with other languages."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from baize_tui.app.line_breaks import has_ideographs, line_ends

TEXT = st.text("白泽是神兽，。、（）“”《》abc ,.()!'-/1%", max_size=80)


def lines(text: str, width: int) -> list[str]:
    ends = [0, *line_ends(text, width), len(text)]
    return [text[begin:end] for begin, end in pairwise(ends)]


def test_a_line_is_filled_also_before_and_after_a_latin_word() -> None:
    assert lines("按 alt+m 打开模型列表，其中列出大小", 16) == [
        "按 alt+m 打开模",
        "型列表，其中列出",
        "大小",
    ]


def test_a_line_begins_with_no_closing_mark_and_ends_with_no_opening_one() -> None:
    assert lines("通万物之情。", 10) == ["通万物之", "情。"]
    assert lines("下载前（先说明）", 8) == ["下载前", "（先说", "明）"]
    assert lines("他说“好”吗？", 6) == ["他说", "“好”", "吗？"]


def test_a_latin_word_is_not_divided() -> None:
    assert lines("已有 GGUF 文件", 8) == ["已有 ", "GGUF 文", "件"]


@pytest.mark.parametrize(
    ("text", "has_some"),
    [("plain words", False), ("한국어 문장", False), ("白泽", True), ("カナ", True)],
)
def test_other_languages_are_left_to_rich(text: str, has_some: bool) -> None:
    assert has_ideographs(text) is has_some


@given(TEXT, st.integers(4, 30))
def test_nothing_is_lost_and_no_line_is_too_long(text: str, width: int) -> None:
    parts = lines(text, width)
    assert "".join(parts) == text
    assert all(cell_len(part.rstrip()) <= width for part in parts)
