"""The threads of a loaded model: a governor for writing, another for reading, or fixed counts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from baize_tui.engine.threads.cores import Cores
from baize_tui.engine.threads.governor import Governor, Observation
from baize_tui.engine.threads.neighbours import Neighbours

OnGpu = Literal["nothing", "some", "everything"]

_REPORTED_AFTER_S = 0.5
"""A count is reported once it has stayed this long: mere trials are not."""
_NOTICEABLE = 0.5
"""The machine counts as busy if others want at least this many cores."""


class ThreadChoice(NamedTuple):
    """How many threads write an answer."""

    threads: int
    most: int
    """The most that there could be."""
    lowered: bool
    """Whether there are fewer because other processes use the cores."""


class Work:
    """One kind of work, measured call by call."""

    def __init__(
        self, governor: Governor | None, threads: int, neighbours: Neighbours, *, on_cpu: bool
    ) -> None:
        """``threads`` is the fixed count if there is no governor.

        Processor time shows whether threads wait for a core only if all work is done ``on_cpu``.
        """
        self._governor, self._fixed, self._neighbours = governor, threads, neighbours
        self._on_cpu = on_cpu
        self.used: Counter[int] = Counter()
        """Tokens or batches by thread count, since the request began."""

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
        """The count of most calls of this request; before the first call, its count."""
        return self.used.most_common(1)[0][0] if self.used else self.threads

    def begin(self, pause_s: float, others: float | None) -> None:
        """A request starts, ``pause_s`` after the last ended."""
        self.used.clear()
        if self._governor is not None:
            self._governor.begin(pause_s, others)

    @contextmanager
    def measured(self, scale: float = 1.0) -> Iterator[None]:
        """Measure a call of llama.cpp; a whole unit of this work takes ``scale`` times as long."""
        began, cpu_began = time.perf_counter(), time.process_time()
        yield  # a call that raises is not counted
        self.used[self.threads] += 1
        if self._governor is not None:
            seconds = scale * (time.perf_counter() - began)
            cpu = scale * (time.process_time() - cpu_began) if self._on_cpu else None
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
        """Fixed counts, or 0 to have them chosen.

        If a GPU does ``"everything"``, writing starts with one thread: the processor only submits
        the work. A GPU reads prompts asynchronously, so times show nothing and the count for
        reading stays.
        """
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
        self._reported = ThreadChoice(self.most, self.most, lowered=False)
        self._seen = self._reported
        self._seen_since = 0.0

    def begin_reading(self) -> None:
        """A request starts with its prompt."""
        self._others = self._neighbours.sample_after_pause()
        self.reading.begin(time.perf_counter() - self._ended, self._others)

    def begin_writing(self) -> None:
        """The prompt has been read except for its last token."""
        others = self._neighbours.sample()
        if others is None:
            others = self._others
        self.decoding.begin(time.perf_counter() - self._ended, others)

    def end(self) -> None:
        """The request has ended."""
        self._ended = time.perf_counter()

    def new_choice(self, now: float) -> ThreadChoice | None:
        """The present choice, once it has stayed for a while and differs from the last report."""
        choice = ThreadChoice(self.decoding.threads, self.most, self.decoding.is_lowered)
        if choice != self._seen:
            self._seen, self._seen_since = choice, now
        if choice == self._reported or now - self._seen_since < _REPORTED_AFTER_S:
            return None
        self._reported = choice
        return choice
