"""Who uses the engine: one after the other, and idle work while nobody needs it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from baize_tui.chat.events import EngineUse


class EngineLock:
    """Lets one at a time use the engine, in the order in which they asked for it.

    Whoever asks for it ends idle work at once.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._callers = 0
        self._idle: asyncio.Task[None] | None = None
        self.use: EngineUse | None = None
        """What the engine is used for now; None also while it does idle work."""

    @property
    def is_held(self) -> bool:
        """Whether someone uses the engine or waits for it; idle work does not count."""
        return self._callers > 0

    async def acquire(self, use: EngineUse) -> None:
        """Return once the engine may be used, for ``use``; ``release`` must follow."""
        self.stop_idle_work()
        self._callers += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self._callers -= 1
            raise
        self._set_use(use)

    def release(self) -> None:
        self._callers -= 1
        self._set_use(None)
        self._lock.release()

    @contextlib.asynccontextmanager
    async def hold(self, use: EngineUse) -> AsyncIterator[None]:
        await self.acquire(use)
        try:
            yield
        finally:
            self.release()

    async def wait_for_change(self) -> None:
        """Return once ``use`` has changed."""
        await self._changed.wait()

    def _set_use(self, use: EngineUse | None) -> None:
        self.use = use
        self._changed.set()
        self._changed = asyncio.Event()

    # --- idle work ------------------------------------------------------------------------------

    def start_idle_work(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` in place of earlier idle work, once nobody uses the engine.

        It is cancelled when somebody asks for the engine.
        """
        self.stop_idle_work()
        # A function, not a coroutine: work that is cancelled before it begins never calls it.
        self._idle = asyncio.create_task(self._do_when_free(work), name="idle work")

    async def _do_when_free(self, work: Callable[[], Awaitable[None]]) -> None:
        async with self._lock:
            await work()

    def stop_idle_work(self) -> None:
        """Cancel idle work; the engine is free as soon as it has ended."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
