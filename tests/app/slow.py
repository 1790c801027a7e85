"""Methods that answer late, as those of a slow disk do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest


class Slow:
    """A method that waits until the test lets it go on; or that has read by then, and returns
    late."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, *, has_read: bool = False
    ) -> None:
        self._method: Callable[..., Awaitable[object]] = getattr(owner, name)
        self._has_read = has_read
        self.called, self.go_on = asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(owner, name, self._call)

    async def _call(self, *args: Any) -> object:
        read = await self._method(*args) if self._has_read else None
        self.called.set()
        await self.go_on.wait()
        return read if self._has_read else await self._method(*args)
