"""What is written and not sent yet: drafts, edits, and messages that wait for an answer to end."""

from __future__ import annotations

from collections.abc import Callable

from baize_tui.chat.store_thread import StoreThread
from baize_tui.store.records import Unsent


class Drafts:
    """All access to unsent words. Every method may raise ``StoreError``."""

    def __init__(self, store_thread: StoreThread) -> None:
        self._thread = store_thread
        self._unsent = store_thread.store.unsent
        self._saved: set[str] = set()
        self.on_change: Callable[[], None] | None = None
        """Called when words are saved for the first time, or removed."""

    async def take_over(self, conversation_id: str | None) -> list[Unsent]:
        """This client's words in a conversation, oldest first, and those of clients that no longer
        run. None: the conversation that is not created yet."""
        return await self._thread.call(self._unsent.take_over, conversation_id)

    async def has_queued(self, conversation_id: str) -> bool:
        """Whether messages wait to be sent in a conversation."""
        return await self._thread.call(self._unsent.has_queued, conversation_id)

    async def save(self, unsent: Unsent) -> None:
        await self._thread.call(self._unsent.save, unsent)
        if unsent.id not in self._saved:
            self._saved.add(unsent.id)
            self._report_change()

    async def remove(self, id: str) -> None:
        await self._thread.call(self._unsent.remove, id)
        self._saved.discard(id)
        self._report_change()

    def _report_change(self) -> None:
        if self.on_change is not None:
            self.on_change()
