"""Undoing deletions and new titles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Undo = Callable[[], Awaitable[None]]


class UndoStack:
    """Functions that undo the person's changes, the latest last."""

    def __init__(self) -> None:
        self._undos: list[Undo] = []

    def __bool__(self) -> bool:
        """Whether there is a change to undo."""
        return bool(self._undos)

    def push(self, undo: Undo) -> None:
        self._undos.append(undo)

    async def undo(self) -> bool:
        """Undo the latest change; False if there is none."""
        if not self._undos:
            return False
        await self._undos.pop()()
        return True
