"""Undoing deletions and new titles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from baize_tui.store.errors import StoreError, UnknownConversation, UnknownMessage
from baize_tui.translation import msg

Undo = Callable[[], Awaitable[None]]
DELETED = msg("deleted · {key} restores it")
"""A note for the status line, where it ends with the next key: also with that of the undo."""


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
        """Undo the latest change; False if there is none.

        Raises:
            StoreError: it cannot be undone now.
        """
        if not self._undos:
            return False
        undo = self._undos.pop()
        try:
            await undo()
        except (UnknownConversation, UnknownMessage):  # it was removed for good
            raise
        except StoreError:  # such as on a full disk: it can be tried again
            self._undos.append(undo)
            raise
        return True
