"""The threads of a loaded model: a governor for writing and one for reading, or fixed counts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from baize_tui.engine.cores import Cores
from baize_tui.engine.governor import Governor, Observation
from baize_tui.engine.neighbours import Neighbours

OnGpu = Literal["nothing", "some", "everything"]
_Choice = tuple[int, int, bool]

_TOLD_AFTER_S = 0.5
"""Counts that are only tried are not worth telling."""
_NOTICEABLE = 0.5
"""Cores that others want from which on the machine is called busy."""


class Work:
    """One kind of work, measured call by call."""

    def __init__(
        self, governor: Governor | None, threads: int, neighbours: Neighbours, *, on_cpu: bool
    ) -> None:
        """``threads`` is the fixed count where there is no governor. Only where all of it is done
        ``on_cpu`` does the time of the processor tell whether threads wait for a core."""
        self._governor, self._fixed, self._neighbours = governor, threads, neighbours
        self._on_cpu = on_cpu
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
            cpu = of * (time.process_time() - cpu_began) if self._on_cpu else None
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
        on_gpu: OnGpu = "nothing",
    ) -> None:
        """Fixed counts, or 0 to have one chosen. Where a GPU does ``"everything"``, writing starts
        with one thread: the processor only hands out the work. A GPU reads a prompt while the
        processor goes on, so its times say nothing and the count stays."""
        most = usable.most_threads
        on_cpu = on_gpu == "nothing"

        def work(fixed: int, start: int) -> Work:
            if fixed:
                return Work(None, fixed, neighbours, on_cpu=on_cpu)
            governor = Governor(usable.physical, most, len(usable.cpus), start)
            return Work(governor, 0, neighbours, on_cpu=on_cpu)

        self.most, self.most_batch = threads or most, threads_batch or most
        self.decoding = work(threads, 1 if on_gpu == "everything" else most)
        self.reading = work(threads_batch if on_cpu else self.most_batch, most)
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
