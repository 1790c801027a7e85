"""What was pasted is told from what was typed, however a terminal sends it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual._xterm_parser import XTermParser
from textual.message import Message

from baize_tui.app.terminal_input import (
    BURST,
    PASTE_END,
    PASTE_PAUSE_S,
    PASTE_START,
    ForgivingParser,
)

KEYS = ["a", "é", "\r", "\t", "\x7f", "\x1b[A", "\x1b[1;5C", "\x1bOP", "\x1b[<0;3;4M"]
ATTACK = "pasted \x1b]0;title\x07\x1bk\x1b\r\x1b[A\x9b1m"


class Clock:
    """The time that the parser sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr("textual._parser.get_time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def parsed(parser: XTermParser, reads: Iterable[str]) -> list[str | tuple[str, str]]:
    """What the parser makes of them: the names of keys and mouse events, and what was pasted."""
    return [seen(message) for read in reads for message in parser.feed(read)]


def seen(message: Message) -> str | tuple[str, str]:
    if isinstance(message, events.Paste):
        return ("pasted", message.text)
    return message.key if isinstance(message, events.Key) else type(message).__name__


def in_reads(text: str, cuts: Sequence[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[begin:end] for begin, end in pairwise(places)]


typed = st.sampled_from(KEYS)
pasted = st.text("ab\r\n \x1b[20~]\x00é泽").map(lambda text: text.replace(PASTE_END, ""))


@given(st.lists(typed | pasted.map(lambda text: ("pasted", text))), st.lists(st.integers(0, 999)))
def test_each_paste_is_one_however_it_is_read(
    sent: list[str | tuple[str, str]], cuts: list[int]
) -> None:
    expected: list[str | tuple[str, str]] = []
    written = ""
    for item in sent:
        if isinstance(item, tuple):
            text = (item[1] + PASTE_END).partition(PASTE_END)[0]
            written += PASTE_START + text + PASTE_END
            if text := text.replace("\x00", ""):
                expected.append(("pasted", text))
        else:
            written += item
            expected += parsed(XTermParser(), [item])
    assert parsed(ForgivingParser(), in_reads(written, cuts)) == expected


def test_nothing_in_a_paste_is_a_key() -> None:
    text = f"a{PASTE_START}{ATTACK}{PASTE_END}b"
    assert parsed(ForgivingParser(), [text]) == ["a", ("pasted", ATTACK), "b"]


def test_a_key_right_before_a_paste_comes_first() -> None:
    assert parsed(ForgivingParser(), [f"\x1bk{PASTE_START}text{PASTE_END}"]) == [
        "alt+k",
        ("pasted", "text"),
    ]


def test_a_paste_without_its_end_does_not_take_the_keyboard_away(clock: Clock) -> None:
    parser = ForgivingParser()
    text = "the end of this text was lost"
    assert parsed(parser, [PASTE_START, text]) == []
    clock.now += PASTE_PAUSE_S - 1
    assert parsed(parser, ["\x11"]) == []  # a person tries to quit
    assert list(parser.tick()) == []
    clock.now += 1
    assert [seen(message) for message in parser.tick()] == [("pasted", f"{text}\x11")]
    assert parsed(parser, ["\x11", PASTE_END, "a"]) == ["ctrl+q", "a"]


def test_a_slow_connection_does_not_end_a_paste(clock: Clock) -> None:
    parser = ForgivingParser()
    parts = [PASTE_START, *("a line of what is pasted\n" for _ in range(5)), PASTE_END]
    messages = []
    for part in parts:
        messages += [*parsed(parser, [part]), *map(seen, parser.tick())]
        clock.now += PASTE_PAUSE_S - 1
    assert messages == [("pasted", "a line of what is pasted\n" * 5)]


def test_what_is_left_of_a_paste_comes_at_the_end_of_the_input() -> None:
    assert parsed(ForgivingParser(), [f"{PASTE_START}lost", ""]) == [("pasted", "lost")]


def test_a_start_whose_beginning_has_become_a_key_still_begins_a_paste(clock: Clock) -> None:
    parser = ForgivingParser()
    assert parsed(parser, ["\x1b"]) == []
    clock.now += 1
    assert [seen(message) for message in parser.tick()] == ["escape"]
    assert parsed(parser, [f"{PASTE_START[1:]}text{PASTE_END}a"]) == [("pasted", "text"), "a"]


# --- without marks --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [BURST, 4_096, 4_097, 1_000_000])
def test_a_burst_of_letters_is_one_paste(size: int, clock: Clock) -> None:
    parser, text = ForgivingParser(), "x" * size
    reads = [text[begin : begin + 4_096] for begin in range(0, size, 4_096)]
    messages = parsed(parser, reads)
    clock.now += 1
    messages += [seen(message) for message in parser.tick()]
    assert messages == [("pasted", text)]


def test_enter_after_a_burst_is_a_key() -> None:
    text = "What is the capital of France, and how many people live there now?"
    assert parsed(ForgivingParser(), [f"{text}\r"]) == [("pasted", text), "enter"]


def test_what_is_typed_is_keys() -> None:
    text = "a" * (BURST - 1)
    assert parsed(ForgivingParser(), [text, "\r", text]) == [*text, "enter", *text]


@given(
    st.lists(st.sampled_from([*KEYS, "x" * BURST, "泽" * 200, "y" * 5_000, "\x1b]", "\x1b["])),
    st.lists(st.integers(0, 9_999)),
)
def test_no_letter_of_a_burst_is_lost(sent: list[str], cuts: list[int]) -> None:
    parser = ForgivingParser()
    reads = in_reads("".join(sent), cuts)
    messages = [m for read in [*reads, ""] for m in parser.feed(read)]
    whole = XTermParser()
    expected = [message for read in [*reads, ""] for message in whole.feed(read)]
    assert _letters(messages) == _letters(expected)


def _letters(messages: Iterable[Message]) -> str:
    """What is written by letters, and the names of other keys."""
    return "".join(
        message.text
        if isinstance(message, events.Paste)
        else (message.character or message.key)
        if isinstance(message, events.Key)
        else type(message).__name__
        for message in messages
    )
