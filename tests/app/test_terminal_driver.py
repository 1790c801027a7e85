"""What the driver does when the terminal is closed or slow, without a client."""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest
from textual import events
from textual.geometry import Size

from baize_tui.app.terminal_driver import EndOfInput, InputSelector, ScreenFile
from baize_tui.app.terminal_input import ForgivingParser, forgiving_decoder, possible_size
from baize_tui.exit_watch import ExitWatch
from tests.conftest import wait_for


class CountingWatch(ExitWatch):
    """Counts the reports that the terminal has closed."""

    closed = 0

    def terminal_closed(self) -> None:
        self.closed += 1


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """The two sides of a terminal: the one that shows it, and the one a program writes to."""
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as file:
        yield master, file
    os.close(master)


def close_window(master: int) -> None:
    """Close the side that shows the terminal; /dev/null takes its descriptor."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, master)
    os.close(nothing)


def test_a_failed_write_to_a_closed_terminal_is_reported_once_and_not_raised(
    terminal: tuple[int, TextIO],
) -> None:
    master, file = terminal
    watch = CountingWatch()
    screen = ScreenFile(file, watch)
    screen.write("hello")
    screen.flush()
    assert os.read(master, 100) == b"hello"
    close_window(master)
    for _ in range(3):
        screen.write("hello")
        screen.flush()
    assert watch.closed == 1


def test_a_terminal_made_non_blocking_by_another_program_gets_every_byte(
    terminal: tuple[int, TextIO],
) -> None:
    master, file = terminal
    os.set_blocking(file.fileno(), False)
    watch = CountingWatch()
    screen = ScreenFile(file, watch)
    screen.write("x" * 300_000)
    writer = threading.Thread(target=screen.flush, daemon=True)
    writer.start()
    got = 0
    while got < 300_000:
        got += len(os.read(master, 1 << 16))
    writer.join()
    assert watch.closed == 0


def test_a_silenced_screen_ends_a_write_that_nobody_reads(terminal: tuple[int, TextIO]) -> None:
    _, file = terminal
    os.set_blocking(file.fileno(), False)
    screen = ScreenFile(file, CountingWatch())
    screen.write("x" * 300_000)
    writer = threading.Thread(target=screen.flush, daemon=True)
    writer.start()
    screen.silence()
    wait_for(lambda: not writer.is_alive())


def test_the_end_of_input_is_distinguished_from_keys(terminal: tuple[int, TextIO]) -> None:
    master, file = terminal
    selector = InputSelector()
    selector.register(file.fileno(), selectors.EVENT_READ)
    os.write(master, b"a line\n")
    for _ in range(10):
        assert selector.select()
    close_window(master)
    with pytest.raises(EndOfInput):
        for _ in range(10):
            selector.select()
            os.read(file.fileno(), 100)
    selector.close()


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[65535;65535:3u",  # a key that was released
        "\x1b[99999999999u",
        "\x1b[97;999999999999999u",
        "\x1b[1:2:3;5A",
        "\x1b[55357u",  # half of a pair of surrogates
        "\x1b[<0;99999999999999999999;1M",
    ],
)
def test_a_sequence_with_impossible_numbers_is_ignored(sequence: str) -> None:
    parser = ForgivingParser()
    pressed = [
        message.character
        for message in parser.feed(f"a{sequence}b\x1b[200~pasted\x1b[201~c")
        if isinstance(message, events.Key) and message.character
    ]
    assert pressed == ["a", "b", "c"]


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    decode = forgiving_decoder("utf-8")().decode
    assert decode("aé".encode("latin-1") + "泽".encode()[:2]) == "a\ufffd"
    assert decode("泽".encode()[2:] + b"\xff") == "泽\ufffd"


def test_a_terminal_that_claims_to_be_enormous_gets_a_screen_of_a_possible_size() -> None:
    assert possible_size(Size(10**30, 24)) == Size(1000, 24)
    assert possible_size(Size(80, 24)) == Size(80, 24)
