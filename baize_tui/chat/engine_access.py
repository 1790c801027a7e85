"""Access to the engine: it answers one conversation at a time, the others wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from baize_tui.chat.engine_lock import EngineLock
from baize_tui.chat.errors import StoppedBeforeStart
from baize_tui.chat.events import EngineUse
from baize_tui.engine.client import Generation
from baize_tui.translation import tr


class EngineAccess:
    """One answer that waits for the engine, loads its model or generates; ``stop`` ends each."""

    def __init__(self) -> None:
        self._stopped = asyncio.Event()
        self._generation: Generation | None = None
        self.ended = asyncio.Event()
        """Set when the answer has ended and is saved."""

    def stop(self) -> None:
        self._stopped.set()
        if self._generation is not None:
            self._generation.cancel()

    def attach(self, generation: Generation) -> Generation:
        """Have ``stop`` cancel ``generation``, which is returned."""
        self._generation = generation
        if self._stopped.is_set():
            generation.cancel()
        return generation

    @contextlib.asynccontextmanager
    async def queue(self, lock: EngineLock, use: EngineUse) -> AsyncIterator[QueuePlace]:
        """Have a place in the queue for the engine; at its end the engine is free for others."""
        taking = asyncio.ensure_future(lock.acquire(use))
        try:
            yield QueuePlace(lock, taking, self._stopped)
        finally:
            if taking.done() and not taking.cancelled():
                lock.release()
            else:
                taking.cancel()


class QueuePlace:
    """The place of one answer in the queue for the engine."""

    def __init__(
        self, lock: EngineLock, taking: asyncio.Future[None], stopped: asyncio.Event
    ) -> None:
        self._lock = lock
        self._taking = taking
        self._stopped = stopped
        self._reported: EngineUse | None = None

    async def wait(self) -> EngineUse | None:
        """Wait until the engine is free for this answer, which is None; also returns each time when
        it is used for something else that was not returned before.

        Raises:
            StoppedBeforeStart: stopped while it waited.
        """
        while not self._taking.done():
            use = self._lock.use
            if use is not None and use != self._reported:
                self._reported = use
                return use
            changed = asyncio.ensure_future(self._lock.wait_for_change())
            stopped = asyncio.ensure_future(self._stopped.wait())
            ends: set[asyncio.Future[Any]] = {self._taking, changed, stopped}
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                stopped.cancel()
            if self._stopped.is_set() and not self._taking.done():
                raise StoppedBeforeStart(
                    tr("stopped before it began; the question is not answered")
                )
        return None
