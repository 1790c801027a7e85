"""Who uses the engine: one answer after the other, and idle work while nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine


class EngineTurns:
    """The engine is used by one caller at a time; whoever asks for it ends idle work at once."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._callers = 0
        """Those who use the engine or wait for it."""
        self._idle: asyncio.Task[None] | None = None

    @property
    def taken(self) -> bool:
        """Whether someone uses the engine or waits for it; idle work does not count."""
        return self._callers > 0

    async def acquire(self) -> None:
        """Wait for the engine, after those who asked earlier."""
        self.stop_idle_work()
        self._callers += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self._callers -= 1
            raise

    def release(self) -> None:
        """Leave the engine to the next one."""
        self._callers -= 1
        self._lock.release()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Use the engine within the block."""
        await self.acquire()
        try:
            yield
        finally:
            self.release()

    def start_idle_work(self, work: Coroutine[None, None, None]) -> None:
        """Do ``work`` in place of earlier idle work, once nobody uses the engine.

        It is cancelled when somebody asks for the engine.
        """
        self.stop_idle_work()
        self._idle = asyncio.create_task(self._do_when_free(work), name="idle work")

    async def _do_when_free(self, work: Coroutine[None, None, None]) -> None:
        try:
            async with self._lock:
                await work
        finally:
            work.close()  # cancelled before it began

    def stop_idle_work(self) -> None:
        """Cancel idle work; the engine is free as soon as it has ended."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
