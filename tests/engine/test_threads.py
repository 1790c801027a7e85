"""Thread counts of a loaded model: fixed ones, and those that adapt to other processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.errors import Aborted
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import Load
from baize_tui.engine.threads.cores import Cores
from baize_tui.engine.threads.neighbours import SAMPLING_S, Neighbours
from baize_tui.engine.threads.thread_counts import Threads, Work
from tests.engine.test_llama_engine import PARIS, answer

FOUR_CORES = Cores(frozenset(range(4)), 4)


class Others:
    """Neighbours that use as many cores as they are told to."""

    def __init__(self) -> None:
        self.cores = self._now = self._busy = 0.0
        self.neighbours = Neighbours(
            frozenset(), self._busy_s, lambda: 0.0, self._clock, lambda: round(self.cores)
        )

    def _busy_s(self) -> float:
        return self._busy

    def _clock(self) -> float:
        self._now += SAMPLING_S
        self._busy += SAMPLING_S * self.cores
        return self._now


def test_fixed_counts_stay() -> None:
    others = Others()
    threads = Threads(3, 2, usable=FOUR_CORES, neighbours=others.neighbours)
    others.cores = 4.0
    threads.begin_reading()
    threads.begin_writing()
    assert (threads.decoding.threads, threads.reading.threads) == (3, 2)
    assert not threads.decoding.is_lowered


def test_a_busy_machine_lowers_the_count_which_is_reported_once() -> None:
    others = Others()
    threads = Threads(0, 0, usable=FOUR_CORES, neighbours=others.neighbours)
    threads.begin_writing()
    assert threads.decoding.threads == 4
    assert threads.new_choice(0.0) is None
    others.cores = 2.0
    threads.begin_writing()
    assert threads.decoding.threads == 2
    assert threads.decoding.is_lowered
    choices = [threads.new_choice(at) for at in (1.0, 1.2, 1.4, 1.6, 1.8)]
    assert [choice for choice in choices if choice is not None] == [(2, 4, True)]


def test_the_count_of_most_tokens_is_kept() -> None:
    others = Others()
    threads = Threads(0, 0, usable=FOUR_CORES, neighbours=others.neighbours)
    with threads.decoding.measured():
        pass
    others.cores = 2.0
    threads.begin_writing()
    for _ in range(3):
        with threads.decoding.measured():
            pass
    assert threads.decoding.mostly_used == 2


def test_an_aborted_call_is_not_counted() -> None:
    threads = Threads(0, 0, usable=FOUR_CORES, neighbours=Others().neighbours)
    with pytest.raises(Aborted), threads.decoding.measured():
        raise Aborted
    assert not threads.decoding.used


def test_an_answer_has_the_count_it_was_written_with(engine: LlamaEngine) -> None:
    finished = answer(engine, PARIS)
    assert finished.stats.threads == engine.loaded.threads == 2


def test_counts_can_change_between_tokens_without_openmp_too(
    smollm2: Path, abort: AbortFlag, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pools of ggml's own are made, resized and freed as on a system without OpenMP."""
    monkeypatch.setattr("baize_tui.engine.llama.thread_pools.are_needed", lambda: True)
    engine = LlamaEngine(Load(0, str(smollm2), context=256, threads=2), abort)
    try:
        neighbours = Others().neighbours
        for threads in (1, 2, 1):
            engine.threads.decoding = Work(None, threads, neighbours, on_cpu=True)
            engine.cache.clear()
            assert answer(engine, PARIS).text == "The capital of France is Paris."
    finally:
        engine.close()
