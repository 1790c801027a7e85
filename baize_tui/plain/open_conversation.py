"""The conversation that the plain client shows; it is created with its first question."""

from __future__ import annotations

from baize_tui.chat.chat import Chat
from baize_tui.plain.turns import Turn, number_turns
from baize_tui.store.records import Conversation


class OpenConversation:
    """The open conversation, as it was last read."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self.conversation: Conversation | None = None
        """None for a new one."""

    @property
    def answerer(self) -> str:
        """Name of the model that answers."""
        conversation, model = self.conversation, self._chat.active_model.model
        if conversation is not None and conversation.model:
            return conversation.model
        return model.name if model is not None else "model"

    def close(self) -> None:
        """A new conversation comes next."""
        self.conversation = None

    async def open(self, session: str) -> Conversation:
        """Open the conversation with this id, or the beginning of one.

        Raises:
            UnknownConversation: there is none.
        """
        self.conversation = await self._chat.conversations.get(session)
        return self.conversation

    async def get_or_create(self) -> Conversation:
        """The open conversation, as it is saved now.

        Raises:
            StoreError: it cannot be saved.
        """
        if self.conversation is None:
            self.conversation = await self._chat.new_conversation()
        return self.conversation

    async def refresh(self) -> None:
        """Read the conversation again: its title, model and branch may have changed."""
        if self.conversation is not None:
            self.conversation = await self._chat.conversations.get(self.conversation.id)

    async def turns(self) -> list[Turn]:
        """The turns of the branch that is shown."""
        if self.conversation is None:
            return []
        return number_turns(await self._chat.conversations.shown_messages(self.conversation.id))
