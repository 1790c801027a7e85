"""What other processes use, from the system's counters."""

from __future__ import annotations

import platform

import pytest

from baize_tui.engine.threads.neighbours import SAMPLING_S, Neighbours, busy_in_proc_stat

STAT = b"""cpu  900 200 300 9000 10 0 5 5 0 0
cpu0 500 100 100 4000 5 0 5 0 0 0
cpu1 400 100 200 5000 5 0 0 5 0 0
intr 12345
"""


def test_low_priority_work_does_not_count() -> None:
    assert busy_in_proc_stat(STAT, frozenset(), 100) == (500 + 100 + 5 + 400 + 200 + 5) / 100


def test_only_the_processors_of_the_mask_count() -> None:
    assert busy_in_proc_stat(STAT, frozenset({1}), 100) == (400 + 200 + 5) / 100


def test_without_counters_the_use_is_unknown() -> None:
    assert busy_in_proc_stat(b"", frozenset(), 100) is None


class Clocks:
    """All the clocks of a machine, moved by hand."""

    def __init__(self) -> None:
        self.now = self.own = self.busy = 0.0
        self.running: int | None = None
        self.neighbours = Neighbours(
            frozenset(), lambda: self.busy, lambda: self.own, lambda: self.now, lambda: self.running
        )

    def pass_time(self, seconds: float, *, own: float, others: float) -> float | None:
        self.now += seconds
        self.own += own * seconds
        self.busy += (own + others) * seconds
        return self.neighbours.sample()


def test_own_use_is_subtracted() -> None:
    assert Clocks().pass_time(1.0, own=2.0, others=1.5) == pytest.approx(1.5)


def test_each_sample_is_of_the_time_since_the_last() -> None:
    clocks = Clocks()
    clocks.pass_time(10.0, own=1.0, others=0.0)
    assert clocks.pass_time(0.5, own=1.0, others=3.0) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("used", "running", "taken"),
    [
        (1.9, 0, 0.0),  # a compiler that has ended
        (1.9, 2, 1.9),  # one that still runs
        (0.6, 1, 0.6),  # the start of the client, which has just sent a request
        (0.0, 3, 0.0),
        (1.0, None, 1.0),  # a system that does not say
    ],
)
def test_after_a_pause_others_count_only_if_they_still_run(
    used: float, running: int | None, taken: float
) -> None:
    clocks = Clocks()
    clocks.running = running
    clocks.now, clocks.busy = 20.0, 20.0 * used
    assert clocks.neighbours.sample_after_pause() == pytest.approx(taken)


def test_a_short_interval_gives_no_sample() -> None:
    clocks = Clocks()
    assert clocks.pass_time(0.5 * SAMPLING_S, own=1.0, others=1.0) is None
    assert clocks.pass_time(0.6 * SAMPLING_S, own=1.0, others=1.0) == pytest.approx(1.0)


def test_counters_that_never_change_are_ignored() -> None:
    clocks = Clocks()
    clocks.now, clocks.own = 1.0, 1.0
    assert clocks.neighbours.sample() is None


@pytest.mark.skipif(platform.system() not in ("Linux", "Darwin"), reason="counters of the system")
def test_the_real_counters_are_read() -> None:
    neighbours = Neighbours(frozenset())
    sample: float | None = None
    while sample is None:  # until there is something to tell
        sum(range(10000))
        sample = neighbours.sample()
    assert sample >= 0
