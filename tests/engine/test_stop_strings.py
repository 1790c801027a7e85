"""The text of a growing answer: no half characters, no stop string, nothing lost."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from baize_tui.engine.stop_strings import TextUntilStop

STOPS = ["[|Human|]", "[|AI|]"]


def pieces_of(raw: bytes, cuts: list[int]) -> list[bytes]:
    bounds = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    return [raw[a:b] for a, b in pairwise(bounds)]


TEXTS = st.lists(
    st.sampled_from(
        ["a", " ", "\n", "[", "|", "[|", "AI", "|]", "[|A", "你", "🙂", "é", "[|Human|"]
    ),
    max_size=20,
).map("".join)


@given(text=TEXTS, cuts=st.lists(st.integers(0, 1000), max_size=30), trim=st.booleans())
def test_the_text_before_the_first_stop_string_is_complete(
    text: str, cuts: list[int], trim: bool
) -> None:
    """However the bytes are cut, the released parts join to the same text."""
    raw = text.encode()
    found = [text.index(stop) for stop in STOPS if stop in text]
    expected = text[: min(found)] if found else text
    if found and trim:
        expected = expected.rstrip(" \t\r\n")
    answer = TextUntilStop(STOPS, trim_at_stop=trim)
    released = ""
    for piece in pieces_of(raw, cuts):
        released += answer.feed(piece)
        assert expected.startswith(released)
        if answer.stopped():
            break
    released += answer.finish()
    assert released == answer.text == expected
    assert answer.stopped() == bool(found)
    assert answer.kept_bytes == len(expected.encode())


def test_the_last_bracket_is_not_lost() -> None:
    """The original demo lost a "[" at the end of an answer."""
    answer = TextUntilStop(STOPS)
    assert answer.feed(b"see [") == "see "
    assert answer.finish() == "["


def test_half_a_character_waits_for_its_rest() -> None:
    answer = TextUntilStop()
    raw = "é".encode()
    assert answer.feed(b"caf" + raw[:1]) == "caf"
    assert answer.feed(raw[1:]) == "é"


def test_half_a_character_at_the_end_is_shown_as_such() -> None:
    answer = TextUntilStop()
    answer.feed("é".encode()[:1])
    assert answer.finish() == "\N{REPLACEMENT CHARACTER}"


def test_without_stop_strings_nothing_waits() -> None:
    answer = TextUntilStop()
    assert answer.feed(b"[|AI|]") == "[|AI|]"
    assert not answer.stopped()
