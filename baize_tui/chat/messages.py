"""Single messages: read, walk branches, mark, pin, delete."""

from __future__ import annotations

from baize_tui.chat.store_thread import StoreThread
from baize_tui.store.records import Conversation, Mark, Message


class Messages:
    """All access to single messages. Every method may raise ``StoreError``."""

    def __init__(self, store_thread: StoreThread) -> None:
        self._thread = store_thread
        self._store = store_thread.store

    async def get(self, message_id: int) -> Message:
        return await self._thread.call(self._store.message, message_id)

    async def path(self, message_id: int) -> list[Message]:
        """``message_id`` and the messages before it, oldest first."""
        return await self._thread.call(self._store.path, message_id)

    async def path_end(self, message_id: int, limit: int) -> list[Message]:
        """The last ``limit`` messages of ``path``, without token ids and most of the provenance."""
        return await self._thread.call(self._store.path_end, message_id, limit)

    async def show_sibling(self, message_id: int, step: int) -> bool:
        """Show the branch ``step`` siblings after ``message_id``; False if there is none."""

        def show() -> bool:
            siblings = self._store.siblings(message_id)
            position = siblings.index(message_id) + step if message_id in siblings else -1
            if not 0 <= position < len(siblings):
                return False
            conversation_id = self._store.message(message_id).conversation_id
            self._store.set_leaf(conversation_id, self._store.leaf_below(siblings[position]))
            return True

        return await self._thread.call(show)

    async def show(self, message_id: int) -> Conversation:
        """Show a branch with the message, unless it is on the one that is shown; returns its
        conversation."""
        return await self._thread.call(self._store.show_message, message_id)

    async def delete(self, message_id: int) -> None:
        """Hide a message and everything below it; ``undelete`` restores them."""
        await self._thread.call(self._store.delete_message, message_id)

    async def undelete(self, message_id: int, *, leaf_id: int | None = None) -> Conversation:
        """Restore a deleted message, and show its branch, or the one that ends in ``leaf_id``;
        returns its conversation."""

        def undelete() -> Conversation:
            self._store.undelete_message(message_id, leaf_id=leaf_id)
            return self._store.conversation(self._store.message(message_id).conversation_id)

        return await self._thread.call(undelete)

    async def show_leaf(self, message_id: int) -> Conversation:
        """Show the branch that ends in ``message_id``; returns its conversation."""

        def show() -> Conversation:
            conversation_id = self._store.message(message_id).conversation_id
            self._store.set_leaf(conversation_id, message_id)
            return self._store.conversation(conversation_id)

        return await self._thread.call(show)

    async def name_branch(self, message_id: int, name: str) -> None:
        """Save what the person calls the branch that begins with a message; empty for nothing."""
        await self._thread.call(self._store.set_branch_name, message_id, name)

    async def set_mark(self, message_id: int, mark: Mark | None) -> None:
        """Save what the person thinks of an answer; None removes the mark."""
        await self._thread.call(self._store.set_mark, message_id, mark)

    async def set_summary(self, message_id: int, summary: str) -> Message:
        """Change what the model is told in place of the turns above a message; returns the
        message."""

        def change() -> Message:
            self._store.set_summary(message_id, summary)
            return self._store.message(message_id)

        return await self._thread.call(change)

    async def pin(self, message: Message, pinned: bool) -> list[int]:
        """Keep the turn of ``message`` in a full context, or no longer: an answer together with its
        question. Returns the numbers of the messages that changed."""
        numbers = [message.id]
        if message.role == "assistant" and message.parent_id is not None:
            numbers.append(message.parent_id)
        for number in numbers:
            await self._thread.call(self._store.set_pinned, number, pinned)
        return numbers
