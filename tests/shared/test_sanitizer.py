"""The one sanitizer."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from baize_shared.sanitizer import (
    clean_line,
    clean_text,
    clean_values,
    harmful_characters,
    is_harmless,
    without_surrogates,
)

EVERY = st.text(st.characters(exclude_categories=()))
BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@given(text=EVERY)
def test_nothing_a_terminal_obeys_is_left(text: str) -> None:
    clean = clean_text(text)
    controls = {char for char in clean if unicodedata.category(char) == "Cc"}
    assert controls <= {"\n", "\t"}
    assert not BIDI & set(clean)
    assert not any(0xE0000 <= ord(char) < 0xE0080 for char in clean)
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


def test_an_invisible_text_of_tags_is_visible() -> None:
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "obey")
    assert clean_text(f"Hello{hidden}") == "Hello" + "\N{REPLACEMENT CHARACTER}" * 4


def test_no_harmful_character_is_printable() -> None:
    # Else the fast path of clean_text would let it through.
    assert not any(char.isprintable() or is_harmless(char) for char in harmful_characters())


def test_values_are_cleaned_to_the_last_key() -> None:
    assert clean_values({"\x1b": ["\x07", 1, None, {"a": "b"}]}) == {
        "␛": ["␇", 1, None, {"a": "b"}]
    }


def test_halves_of_a_pair_of_surrogates_are_joined_or_replaced() -> None:
    assert without_surrogates(["\ud83d\ude42", {"\udcff": "\ud83d"}]) == [
        "🙂",
        {"\N{REPLACEMENT CHARACTER}": "\N{REPLACEMENT CHARACTER}"},
    ]
