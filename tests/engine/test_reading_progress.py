"""How far a long batch is likely to be, told while it is read."""

from __future__ import annotations

import threading
import time

from baize_tui.engine.reading_progress import ReadingProgress
from tests.conftest import PATIENCE_S


def read(progress: ReadingProgress, done: int, size: int, until: threading.Event) -> list[int]:
    """A batch that is done when ``until`` is set; what was told meanwhile."""
    told: list[int] = []

    def tell(likely: int) -> None:
        told.append(likely)
        if len(told) == 3:
            until.set()

    with progress.batch(done, size, tell):
        assert until.wait(PATIENCE_S)
    return told


def test_a_long_batch_is_told_in_steps_that_stay_inside_it() -> None:
    progress = ReadingProgress()
    with progress.batch(0, 10, lambda _: None):
        began = time.perf_counter()
        while time.perf_counter() - began < 0.01:  # some speed to know
            pass
    told = read(progress, 10, 100_000, threading.Event())
    assert told == sorted(set(told))
    assert all(10 < likely < 100_010 for likely in told)
    assert all(thread.name != "progress" for thread in threading.enumerate())


def test_before_anything_was_read_nothing_can_be_told() -> None:
    done = threading.Event()
    done.set()
    assert read(ReadingProgress(), 0, 100_000, done) == []
