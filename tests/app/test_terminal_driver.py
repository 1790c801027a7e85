"""What the driver does when the terminal is closed or slow, without a client."""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from baize_tui.app.terminal_driver import EndOfInput, InputSelector, ScreenFile
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
