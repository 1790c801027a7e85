"""The conversations: list, create, rename, delete, options and branches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from baize_tui.chat.store_thread import StoreThread
from baize_tui.store import backups
from baize_tui.store.records import (
    BranchPosition,
    BranchRow,
    Conversation,
    ConversationTree,
    DraftParts,
    ListedConversation,
    Message,
    TitleSource,
)

FIRST_PAGE = 200
"""Conversations of a list that are read before anybody looks further."""


class ListedConversations(Struct, frozen=True):
    """The conversations that are listed, pinned ones first, then the last used first, and the
    version of the file that they were read from."""

    conversations: list[ListedConversation]
    unsent: set[str]
    """Ids of those with words that are not sent yet."""
    version: int


class Conversations:
    """All access to conversations; needs no model.

    Every method may raise ``StoreError``; those that take the id of a conversation raise
    ``UnknownConversation`` when there is none.
    """

    def __init__(
        self,
        store_thread: StoreThread,
        forget_state: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """``forget_state`` removes what the model has read of a deleted conversation."""
        self._thread = store_thread
        self._forget_state = forget_state
        self._store = store_thread.store

    @property
    def damaged_file(self) -> Path | None:
        """Where a damaged file was moved when it was opened."""
        return self._thread.damaged_file

    @property
    def why_read_only(self) -> str:
        """Why nothing can be saved, in one line; empty if it can."""
        return self._thread.why_read_only

    # --- reading --------------------------------------------------------------------------------

    def list_now(self, *, first: int | None = FIRST_PAGE) -> ListedConversations:
        """The list, read in this thread: for the first frame, which has to show it.

        ``first`` is how many are read besides the pinned ones; None for all, and then the archived
        ones follow at the end.
        """
        version = self._store.version()  # first: what is written meanwhile is then read again
        unsent = self._store.unsent.conversations()
        listed = self._store.listing.listed(first)
        if first is None:
            listed += self._store.listing.archived()
        return ListedConversations(listed, unsent, version)

    async def list_with_version(self, *, first: int | None = FIRST_PAGE) -> ListedConversations:
        """The same, read in the background."""
        return await self._thread.call(self.list_now, first=first)

    async def list_all(self, *, deleted: bool = False) -> list[Conversation]:
        """The conversations, archived ones included, last used first; with ``deleted`` the deleted
        ones instead."""
        return await self._thread.call(self._store.conversations, deleted=deleted)

    async def archived(self) -> list[ListedConversation]:
        """Those that are archived, the last used first."""
        return await self._thread.call(self._store.listing.archived)

    async def deleted(self) -> list[ListedConversation]:
        """Those in the trash, the last deleted first."""
        return await self._thread.call(self._store.listing.deleted)

    async def tags(self) -> dict[str, int]:
        """All tags, with how many conversations have each, by name."""
        return await self._thread.call(self._store.listing.tags)

    async def version(self) -> int:
        """A number that changes when another client has written to the file."""
        return await self._thread.call(self._store.version)

    async def get(self, conversation_id: str) -> Conversation:
        """The conversation with this id, or with the only id that begins so; also a deleted one."""
        return await self._thread.call(self._store.conversation, conversation_id)

    async def shown_messages(self, conversation_id: str) -> list[Message]:
        """The branch that is shown, oldest first."""
        return await self._thread.call(self._store.shown_messages, conversation_id)

    async def all_messages(self, conversation_id: str) -> list[Message]:
        """The messages of all branches, oldest first."""
        return await self._thread.call(self._store.all_messages, conversation_id)

    async def branch_rows(self, conversation_id: str) -> list[BranchRow]:
        """All branches, each below the one that it leaves."""

        def read() -> list[BranchRow]:
            conversation = self._store.conversation(conversation_id)
            return self._store.branch_reader.branches(conversation.id, conversation.leaf_id)

        return await self._thread.call(read)

    async def branches(self, conversation_id: str) -> dict[int, BranchPosition]:
        """The position of each message that has siblings, by its number."""
        return await self._thread.call(self._store.branches, conversation_id)

    async def mark_interrupted(self) -> None:
        """Mark the streaming answers of clients that no longer run as interrupted."""
        await self._thread.call(self._store.answers.mark_interrupted)

    async def questions(self) -> list[DraftParts]:
        """What the person wrote in all conversations, latest first."""
        return await self._thread.call(self._store.questions)

    # --- changing -------------------------------------------------------------------------------

    async def create(
        self,
        *,
        system: str,
        moderation: bool,
        model: str | None = None,
        format: str | None = None,
        title: str = "",
        adapters: Mapping[str, float] = {},
        model_path: str | None = None,
        model_sha256: str | None = None,
    ) -> Conversation:
        """Create a conversation without messages."""
        return await self._thread.call(
            self._store.new_conversation,
            system=system,
            moderation=moderation,
            model=model,
            format=format,
            title=title,
            adapters=adapters,
            model_path=model_path,
            model_sha256=model_sha256,
        )

    async def rename(
        self, conversation_id: str, title: str, source: TitleSource = "person"
    ) -> Conversation:
        """Set the title that the person wrote or asked for, an empty one for none; returns the
        conversation as it was before."""

        def rename() -> Conversation:
            before = self._store.conversation(conversation_id)
            self._store.rename(conversation_id, title, source)
            return before

        return await self._thread.call(rename)

    async def set_automatic_title(
        self, conversation_id: str, title: str, source: TitleSource
    ) -> bool:
        """Set a title that nobody asked for; False if there is one from ``source`` already, or
        from a better one, such as the person."""
        return await self._thread.call(
            self._store.set_automatic_title, conversation_id, title, source
        )

    async def delete(self, conversation_id: str) -> None:
        """Hide the conversation; ``undelete`` restores it with all its messages."""
        await self._thread.call(self._store.delete, conversation_id)
        if self._forget_state is not None:
            await self._forget_state(conversation_id)

    async def undelete(self, conversation_id: str) -> Conversation:
        """Restore a deleted conversation; returns it."""

        def undelete() -> Conversation:
            self._store.undelete(conversation_id)
            return self._store.conversation(conversation_id)

        return await self._thread.call(undelete)

    async def change_tags(
        self, conversation_id: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> list[str]:
        """Add tags and remove others; returns all that the conversation has then."""
        return await self._thread.call(
            self._store.organizer.change_tags, conversation_id, add, remove
        )

    async def set_pinned(self, conversation_id: str, pinned: bool) -> None:
        """Keep a conversation at the top of the list, or no longer."""
        await self._thread.call(self._store.organizer.set_pinned, conversation_id, pinned)

    async def set_archived(self, conversation_id: str, archived: bool) -> None:
        """Leave a conversation out of the list, or put it back."""
        await self._thread.call(self._store.organizer.set_archived, conversation_id, archived)

    async def purge(self, conversation_ids: Sequence[str]) -> list[str]:
        """Remove deleted conversations for good; returns the ids of those that were removed.

        Others, which are not deleted, stay.
        """
        removed = await self._thread.call(self._store.organizer.purge, conversation_ids)
        if self._forget_state is not None:
            for conversation_id in removed:
                await self._forget_state(conversation_id)
        return removed

    async def set_options(self, conversation: Conversation) -> Conversation:
        """Save model, system prompt, moderation, format, sampling, overflow, adapters, thinking,
        persona and stop strings of ``conversation``; returns it as it is stored."""

        def save() -> Conversation:
            self._store.set_options(conversation)
            return self._store.conversation(conversation.id)

        return await self._thread.call(save)

    # --- whole conversations --------------------------------------------------------------------

    async def tree(self, conversation: Conversation) -> ConversationTree:
        """``conversation`` with the messages of all its branches, without deleted ones."""
        return await self._thread.call(self._store.trees.read, conversation)

    async def deleted_by_id(self) -> dict[str, bool]:
        """The ids of all conversations, and whether each is deleted."""
        return await self._thread.call(self._store.trees.deleted)

    async def add_trees(self, trees: Sequence[ConversationTree]) -> set[str]:
        """Add the conversations whose ids are new here, all of them or none; returns their ids."""
        return await self._thread.call(self._store.trees.add, trees)

    async def back_up(self, target: Path) -> int:
        """Write a copy of the whole file to ``target``; returns its size in bytes.

        Raises:
            OSError: it cannot be written.
        """
        return await self._thread.call(backups.back_up, self._store.database, target)

    async def restore(self, backup: Path, *, copies: bool) -> backups.Restored:
        """Add what is in ``backup`` and not here; see ``backups.restore``."""
        return await self._thread.call(backups.restore, self._store.database, backup, copies=copies)
