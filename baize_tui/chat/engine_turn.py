"""Whose turn it is: one engine answers one conversation at a time, the others wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from baize_tui.engine.client import Generation


class StoppedWaiting(Exception):
    """The person stopped an answer that had not begun."""


class EngineTurn:
    """A turn that waits for the engine, loads its model or generates; it can be stopped in each."""

    def __init__(self) -> None:
        self._stopped = asyncio.Event()
        self._generation: Generation | None = None
        self.ended = asyncio.Event()
        """Nothing more comes of it, and what came is saved."""

    def stop(self) -> None:
        self._stopped.set()
        if self._generation is not None:
            self._generation.cancel()

    def drive(self, generation: Generation) -> Generation:
        """Have ``stop`` reach ``generation``."""
        self._generation = generation
        if self._stopped.is_set():
            generation.cancel()
        return generation

    @contextlib.asynccontextmanager
    async def holding(self, engine: asyncio.Lock) -> AsyncIterator[None]:
        """Hold ``engine``; waits for the answer before this one.

        Raises:
            StoppedWaiting: stopped before it was this one's turn.
        """
        taken = asyncio.ensure_future(engine.acquire())
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({taken, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not taken.done():
                raise StoppedWaiting("stopped before it began; it is not answered yet")
            yield
        finally:
            stopped.cancel()
            if taken.done() and not taken.cancelled():
                engine.release()
            else:
                taken.cancel()
