"""Run the work on many items at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
ReportDone = Callable[[int, int], object]
"""Called with the number of items done and the number of all."""


async def run_all(
    items: Iterable[T],
    work: Callable[[T], Awaitable[None]],
    at_once: int,
    *,
    may_start: Callable[[int], bool] = lambda _: True,
    on_finished: Callable[[], object] = lambda: None,
) -> None:
    """Run ``work`` for each of ``items``, at most ``at_once`` at the same time.

    The first exception cancels the rest and is raised. ``may_start`` gets the number of running
    items and decides whether another one starts; ``on_finished`` is called as items finish.
    """
    waiting = deque(items)
    running: set[asyncio.Task[None]] = set()
    try:
        while True:
            while waiting and len(running) < at_once and may_start(len(running)):
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
