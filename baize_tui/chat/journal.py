"""The journal of an answer on its way: written soon after a change, 7 times a second at most."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from baize_tui.store.conversations import StoreError

INTERVAL_S = 0.13
"""At most 250 ms of an answer may be lost; the rest of them is for the write itself, and for text
that the engine gathers before it sends it (``EVENTS_PER_SECOND``)."""


class Journal:
    """Calls ``write`` after changes were noted, at most once an interval, in the background."""

    def __init__(self, write: Callable[[], Awaitable[None]]) -> None:
        self._write = write
        self._changed = asyncio.Event()
        self._problem = ""
        self._told = ""
        self._task = asyncio.create_task(self._run(), name="journal")

    def note(self) -> None:
        """There is more to write."""
        self._changed.set()

    def take_problem(self) -> str:
        """Why the last write failed, said once for each reason; empty when all is well."""
        if self._problem == self._told:
            return ""
        self._told = self._problem
        return self._problem

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._write()
                self._problem = ""
            except StoreError as error:
                self._problem = str(error)
                self._changed.set()
            await asyncio.sleep(INTERVAL_S)

    def stop(self) -> None:
        """Begin no more writes."""
        self._task.cancel()

    async def close(self) -> None:
        """End the background writes; a write that has begun ends first."""
        self.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
