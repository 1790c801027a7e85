"""The threads of a loaded model: a governor for writing and one for reading, or fixed counts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from baize_tui.engine.cores import Cores
from baize_tui.engine.governor import Governor, Observation
from baize_tui.engine.neighbours import Neighbours

_Choice = tuple[int, int, bool]

_TOLD_AFTER_S = 0.5
"""Counts that are only tried are not worth telling."""
_NOTICEABLE = 0.5
"""Cores that others want from which on the machine is called busy."""


class Work:
    """One kind of work, measured call by call."""

    def __init__(self, governor: Governor | None, threads: int, neighbours: Neighbours) -> None:
        """``threads`` is the fixed count where there is no governor."""
        self._governor, self._fixed, self._neighbours = governor, threads, neighbours
        self.used: Counter[int] = Counter()
        """Tokens or batches by count, since the request began."""

    @property
    def threads(self) -> int:
        """The count for the next call."""
        return self._governor.threads if self._governor is not None else self._fixed

    @property
    def is_lowered(self) -> bool:
        """Whether there are fewer threads than usual because others use the cores."""
        governor = self._governor
        return (
            governor is not None
            and governor.threads < governor.most
            and governor.neighbours >= _NOTICEABLE
        )

    @property
    def mostly_used(self) -> int:
        """The count of most calls of this request; before the first, that of the next."""
        return self.used.most_common(1)[0][0] if self.used else self.threads

    def begin(self, pause_s: float, others: float | None) -> None:
        """A request starts, ``pause_s`` after the last ended."""
        self.used.clear()
        if self._governor is not None:
            self._governor.begin(pause_s, others)

    @contextmanager
    def measured(self, of: float = 1.0) -> Iterator[None]:
        """A call of llama.cpp; a whole unit of this work would take ``of`` times as long."""
        began, cpu_began = time.perf_counter(), time.process_time()
        yield  # a call that raises says nothing
        self.used[self.threads] += 1
        if self._governor is not None:
            seconds = of * (time.perf_counter() - began)
            cpu = of * (time.process_time() - cpu_began)
            self._governor.record(Observation(seconds, cpu, self._neighbours.sample()))


class Threads:
    """The counts that one model computes with."""

    def __init__(
        self,
        threads: int,
        threads_batch: int,
        *,
        usable: Cores,
        neighbours: Neighbours,
        on_gpu: bool = False,
    ) -> None:
        """Fixed counts, or 0 to have one chosen. A model that is all on a GPU (``on_gpu``) starts
        with one thread: the processor only hands it work."""

        def work(fixed: int) -> Work:
            if fixed:
                return Work(None, fixed, neighbours)
            governor = Governor(
                usable.physical, usable.most_threads, len(usable.cpus), 1 if on_gpu else 0
            )
            return Work(governor, 0, neighbours)

        self.most = threads or usable.most_threads
        self.most_batch = threads_batch or usable.most_threads
        self.decoding, self.reading = work(threads), work(threads_batch)
        self._neighbours = neighbours
        self._others: float | None = None
        self._ended = time.perf_counter()
        self._told: _Choice = (self.most, self.most, False)
        self._seen: _Choice = self._told
        self._seen_since = 0.0

    def begin_reading(self) -> None:
        """A request starts with its prompt."""
        self._others = self._neighbours.sample()
        self.reading.begin(time.perf_counter() - self._ended, self._others)

    def begin_writing(self) -> None:
        """The prompt is read but for its last token."""
        others = self._neighbours.sample()
        if others is None:
            others = self._others
        self.decoding.begin(time.perf_counter() - self._ended, others)

    def end(self) -> None:
        """It has ended."""
        self._ended = time.perf_counter()

    def news(self, now: float) -> _Choice | None:
        """The count that writes, the most there could be, and whether others are the reason; once
        it has stayed for a while and is not what was told before."""
        choice = self.decoding.threads, self.most, self.decoding.is_lowered
        if choice != self._seen:
            self._seen, self._seen_since = choice, now
        if choice == self._told or now - self._seen_since < _TOLD_AFTER_S:
            return None
        self._told = choice
        return choice
