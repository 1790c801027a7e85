"""The one sanitizer."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from baize_shared.sanitizer import clean_line, clean_text

EVERY = st.text(st.characters(exclude_categories=()))
BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@given(text=EVERY)
def test_nothing_a_terminal_obeys_is_left(text: str) -> None:
    clean = clean_text(text)
    controls = {char for char in clean if unicodedata.category(char) == "Cc"}
    assert controls <= {"\n", "\t"}
    assert not BIDI & set(clean)
    clean.encode("utf-8")


@given(text=EVERY)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)


@given(parts=st.lists(st.text(st.characters(exclude_characters="\r", exclude_categories=()))))
def test_a_stream_may_be_cleaned_piece_by_piece(parts: list[str]) -> None:
    assert "".join(map(clean_text, parts)) == clean_text("".join(parts))


def test_ordinary_text_stays() -> None:
    text = "Grüße, 你好 🙂 שלום\u200e\n\tnext"
    assert clean_text(text) == text


def test_an_escape_sequence_is_visible() -> None:
    assert clean_text("\x1b]0;owned\x07") == "␛]0;owned␇"


def test_line_ends_become_one() -> None:
    assert clean_text("a\r\nb\rc\u2028d") == "a\nb\nc\nd"


def test_a_line_is_one_line() -> None:
    assert clean_line("  a\n\nb\tc ") == "a b c"
    assert clean_line("x" * 300, 10) == "x" * 9 + "…"
