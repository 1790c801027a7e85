"""Access to the engine: it answers one conversation at a time, the others wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from baize_tui.chat.engine_turns import EngineTurns
from baize_tui.chat.errors import StoppedBeforeStart
from baize_tui.engine.client import Generation


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
    async def acquire(self, turns: EngineTurns) -> AsyncIterator[None]:
        """Hold the engine once earlier answers have ended.

        Raises:
            StoppedBeforeStart: stopped while it waited.
        """
        taken = asyncio.ensure_future(turns.acquire())
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({taken, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not taken.done():
                raise StoppedBeforeStart("stopped before it began; the question is not answered")
            yield
        finally:
            stopped.cancel()
            if taken.done() and not taken.cancelled():
                turns.release()
            else:
                taken.cancel()
