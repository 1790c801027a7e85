"""Run many requests at once, adapt their number to rate limits, and retry temporary failures."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from baize_train.errors import TrainError
from baize_train.speakers.speaker import SpeakerError

MAX_TRIES = 6
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0

T = TypeVar("T")
ReportDone = Callable[[int, int], object]
"""Called with the number of items done and the number of all."""


class ConcurrencyLimit:
    """How many requests may run at once: one more after as many successes, half as many after a
    rate limit (additive increase, multiplicative decrease)."""

    def __init__(self, maximum: int) -> None:
        self._maximum, self._limit = maximum, float(maximum)

    @property
    def current(self) -> int:
        return int(self._limit)

    def on_success(self) -> None:
        self._limit = min(float(self._maximum), self._limit + 1 / self._limit)

    def on_rate_limit(self) -> None:
        self._limit = max(1.0, self._limit / 2)


async def with_retries(request: Callable[[], Awaitable[T]], limit: ConcurrencyLimit) -> T:
    """The result of ``request``, repeated after temporary failures of its speaker.

    Raises:
        TrainError: the speaker will not reply, or did not in ``MAX_TRIES`` tries.
    """
    for number in range(MAX_TRIES):
        try:
            result = await request()
        except SpeakerError as error:
            if not error.temporary:
                raise TrainError(f"{error}; what was collected is kept") from error
            if number == MAX_TRIES - 1:
                raise TrainError(f"{error}; run the same command later to continue") from error
            if error.rate_limited:
                limit.on_rate_limit()
            wait = min(FIRST_WAIT_S * 2**number, LONGEST_WAIT_S)
            # Random waits, so that the requests do not all return at the same moment.
            await asyncio.sleep(error.retry_after_s or wait * (0.5 + random.random()))
        else:
            limit.on_success()
            return result
    raise AssertionError("the last try returns or raises")


async def run_all(
    items: Iterable[T],
    work: Callable[[T], Awaitable[None]],
    limit: ConcurrencyLimit,
    *,
    may_start: Callable[[int], bool] = lambda _: True,
    on_finished: Callable[[], object] = lambda: None,
) -> None:
    """Run ``work`` for each of ``items``, as many at once as ``limit`` allows.

    The first exception cancels the rest and is raised. ``may_start`` gets the number of running
    items and decides whether another one starts; ``on_finished`` is called as items finish.
    """
    waiting = deque(items)
    running: set[asyncio.Task[None]] = set()
    try:
        while True:
            while waiting and len(running) < limit.current and may_start(len(running)):
                running.add(asyncio.ensure_future(work(waiting.popleft())))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            # Retrieve every exception, or asyncio warns about those never looked at.
            errors = [error for task in done if (error := task.exception()) is not None]
            if errors:
                raise errors[0]
            on_finished()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
