"""Asking speakers many things at once, as many as they bear, and again where they fail."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from baize_train.errors import TrainError
from baize_train.speakers.speaker import SpeakerFailed

TRIES = 6
"""How often one thing is asked again where its speaker fails."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0

T = TypeVar("T")


class Pace:
    """How many are asked at once: one more after each success, half of them after a "too busy"
    (additive increase, multiplicative decrease)."""

    def __init__(self, most: int) -> None:
        self._most, self._limit = most, float(most)

    @property
    def at_once(self) -> int:
        return int(self._limit)

    def succeeded(self) -> None:
        self._limit = min(float(self._most), self._limit + 1 / self._limit)

    def too_busy(self) -> None:
        self._limit = max(1.0, self._limit / 2)


async def patiently(ask: Callable[[], Awaitable[T]], pace: Pace) -> T:
    """What ``ask`` gives, begun again where its speaker fails for a while.

    Raises:
        TrainError: it will not answer, or has not for long.
    """
    for number in range(TRIES):
        try:
            found = await ask()
        except SpeakerFailed as error:
            if not error.again:
                raise TrainError(f"{error}; what was collected is kept") from error
            if number == TRIES - 1:
                raise TrainError(f"{error}; the same command goes on later") from error
            if error.busy:
                pace.too_busy()
            wait = min(FIRST_WAIT_S * 2**number, LONGEST_WAIT_S)
            # Not all at the same moment again.
            await asyncio.sleep(error.after or wait * (0.5 + random.random()))
        else:
            pace.succeeded()
            return found
    raise AssertionError("the last try returns or raises")


async def each(
    items: Iterable[T],
    work: Callable[[T], Awaitable[None]],
    pace: Pace,
    *,
    may_begin: Callable[[int], bool] = lambda _: True,
    ended: Callable[[], object] = lambda: None,
) -> None:
    """Do ``work`` for each of ``items``, many at once; the first that fails ends all.

    ``may_begin`` is asked with how many are on their way; ``ended`` hears of what is done.
    """
    waiting = deque(items)
    running: set[asyncio.Task[None]] = set()
    try:
        while True:
            while waiting and len(running) < pace.at_once and may_begin(len(running)):
                running.add(asyncio.ensure_future(work(waiting.popleft())))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            # All of them are looked at; the first that failed ends the work.
            failed = [error for task in done if (error := task.exception()) is not None]
            if failed:
                raise failed[0]
            ended()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
