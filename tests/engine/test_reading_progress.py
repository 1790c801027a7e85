"""Estimates of the progress inside a long batch."""

from __future__ import annotations

import threading
import time

from baize_tui.engine.reading_progress import ReadingProgress
from tests.conftest import PATIENCE_S


def read(progress: ReadingProgress, done: int, size: int, until: threading.Event) -> list[int]:
    """Read a batch until ``until`` is set; return the estimates."""
    estimates: list[int] = []

    def report(likely: int) -> None:
        estimates.append(likely)
        if len(estimates) == 3:
            until.set()

    with progress.batch(done, size, report):
        assert until.wait(PATIENCE_S)
    return estimates


def test_estimates_of_a_long_batch_rise_and_stay_inside_it() -> None:
    progress = ReadingProgress()
    with progress.batch(0, 10, lambda _: None):
        began = time.perf_counter()
        while time.perf_counter() - began < 0.01:  # some speed to know
            pass
    estimates = read(progress, 10, 100_000, threading.Event())
    assert estimates == sorted(set(estimates))
    assert all(10 < likely < 100_010 for likely in estimates)
    assert all(thread.name != "progress" for thread in threading.enumerate())


def test_before_anything_was_read_there_is_no_estimate() -> None:
    done = threading.Event()
    done.set()
    assert read(ReadingProgress(), 0, 100_000, done) == []
