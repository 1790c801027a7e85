"""A pytest plugin: Ctrl-C, SIGTERM and SIGHUP end the suite, and all processes that it started.

pytest itself dies of SIGTERM without ending anything, and a client that runs in a test would answer
the signal by saving and quitting, after which pytest goes on with the next test.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

import psutil
import pytest

LIKE_CTRL_C = (signal.SIGTERM, signal.SIGHUP)


def pytest_configure(config: pytest.Config) -> None:
    """Take over the signals of this process."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            # As in the background of a shell, and under nohup. What the tests start would ignore it
            # too; a handler is not inherited.
            signal.signal(number, _ignore)
    if hasattr(config, "workerinput"):
        return  # a worker of pytest-xdist is ended by the process that started it
    for number in LIKE_CTRL_C:
        if signal.getsignal(number) is signal.SIG_DFL:  # under nohup, SIGHUP stays ignored
            signal.signal(number, _interrupt)


def _ignore(number: int, frame: object) -> None:
    pass


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def pytest_keyboard_interrupt() -> None:
    """Nobody waits for an interrupted test."""
    _kill_descendants()


def pytest_unconfigure() -> None:
    """Nor for what a test has left running."""
    _kill_descendants()


def _kill_descendants() -> None:
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture(autouse=True)
def signals_of_the_suite(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No code under test answers the signals of this process."""
    numbers = (*LIKE_CTRL_C, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_signal_handler", lambda *_: None)
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
