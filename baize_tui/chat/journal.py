"""The journal of an unfinished answer: written soon after each change, at most 7 times a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from baize_tui.store.errors import StoreError

_INTERVAL_S = 0.13
"""At most 250 ms of an answer may be lost. The rest of that time is for the write itself, and for
text that the engine collects before it sends it (``EVENTS_PER_SECOND``)."""


class Journal:
    """Calls ``write`` in the background after changes, at most once in ``_INTERVAL_S``."""

    def __init__(self, write: Callable[[], Awaitable[None]]) -> None:
        self._write = write
        self._changed = asyncio.Event()
        self._problem = ""
        self._reported = ""
        self._task = asyncio.create_task(self._run(), name="journal")

    def note_change(self) -> None:
        """There is more to write."""
        self._changed.set()

    def take_problem(self) -> str | None:
        """Why the last write failed, or an empty text if writing succeeds again; None if this was
        returned before."""
        if self._problem == self._reported:
            return None
        self._reported = self._problem
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
            await asyncio.sleep(_INTERVAL_S)

    def stop(self) -> None:
        """Start no more writes."""
        self._task.cancel()

    async def close(self) -> None:
        """Start no more writes, and wait for one that has started."""
        self.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
