"""Opening a conversation, and showing it as the store has it."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import partial

from textual.widgets import Static

from baize_tui.app.conversation.composer import Composer
from baize_tui.app.conversation.draft_cost import DraftCost
from baize_tui.app.conversation.idle_status import IdleStatus
from baize_tui.app.conversation.list_updates import ListUpdates
from baize_tui.app.conversation.message_queue import MessageQueue
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.texts import disclaimer_text, head_text, welcome_text
from baize_tui.store.records import Conversation, Message

FIRST_MESSAGES, MORE_MESSAGES = 60, 500
"""Messages read to open a conversation, and at a time for those above them."""
REST_GROUP = "rest of the turns"
"""The group of the worker that reads what is above."""


class ConversationView:
    """The open conversation on the screen."""

    def __init__(
        self,
        surface: Surface,
        idle_status: IdleStatus,
        list_updates: ListUpdates,
        draft_cost: DraftCost,
        composer: Composer,
        queue: MessageQueue,
    ) -> None:
        self._surface = surface
        self._idle_status = idle_status
        self._list_updates = list_updates
        self._draft_cost = draft_cost
        self._composer = composer
        self._queue = queue

    # --- opening --------------------------------------------------------------------------------

    async def open(self, conversation: Conversation) -> None:
        """Show ``conversation``: its last turns at once, the others in the background."""
        surface, view = self._surface, self._surface.view
        drafts = await self._composer.load(conversation)
        view.open(conversation)
        self._composer.show(drafts)
        self._queue.refresh()
        messages: list[Message] = []
        leaf = conversation.leaf_id
        if leaf is not None:
            messages = await surface.chat.messages.path_end(leaf, FIRST_MESSAGES)
        live = view.live.get(conversation.id)
        if live is not None:
            messages = [live.message if m.id == live.message.id else m for m in messages]
        head = head_text(surface.chat, conversation)
        surface.transcript.show(messages, head, conversation.context_start)
        self.show_disclaimer()
        self._list_updates.refresh()
        self._idle_status.show_current()
        surface.status.show_stop(view.is_answering)
        show_rest = partial(self._show_rest, conversation, messages)
        surface.run_worker(show_rest, group=REST_GROUP, exclusive=True)

    async def _show_rest(self, conversation: Conversation, messages: Sequence[Message]) -> None:
        """Show what can come later: the turns above, the branches, the use of the context."""
        surface, view = self._surface, self._surface.view
        first = messages[0] if messages else None
        if messages:
            last = await surface.chat.messages.get(messages[-1].id)
            if (provenance := last.provenance) is not None:
                used = provenance["prompt_tokens"] + provenance["completion_tokens"]
                view.context_used = used
                self._idle_status.show_if_idle()
        while first is not None and first.parent_id is not None:
            earlier = await surface.chat.messages.path_end(first.parent_id, MORE_MESSAGES)
            if view.open_id != conversation.id:
                return
            surface.transcript.show_earlier(earlier, conversation.context_start)
            first = earlier[0]
        # Collecting garbage among what stays would take long enough to be seen.
        gc.freeze()
        await self.show_branches()
        self._draft_cost.count_soon()

    def open_new(self) -> None:
        """Show the welcome; the first message begins a conversation."""
        surface, view = self._surface, self._surface.view
        view.open(None)
        self._composer.show_new()
        self._queue.refresh()
        surface.screen.workers.cancel_group(surface.screen, REST_GROUP)
        self.show_welcome()
        self.show_disclaimer()
        self._list_updates.refresh()
        self._idle_status.show()
        surface.status.show_stop(False)
        surface.focus_prompt()
        self._draft_cost.count_soon()

    async def begin(self) -> Conversation:
        """The open conversation; a new one if none is open.

        Raises:
            StoreError: it cannot be created.
        """
        surface, view = self._surface, self._surface.view
        if view.conversation is None:
            view.conversation = await surface.chat.new_conversation()
            self._composer.created(view.conversation)
            head = head_text(surface.chat, view.conversation)
            surface.transcript.show([], head, None)
            self.show_disclaimer()
            self._list_updates.refresh()
        return view.conversation

    # --- changes --------------------------------------------------------------------------------

    async def reload(self) -> None:
        """Show the open conversation as the store has it now."""
        open_id = self._surface.view.open_id
        if open_id is not None:
            await self.open(await self._surface.chat.conversations.get(open_id))

    async def change_options(self, changed: Conversation) -> None:
        """Store the options of a conversation, and show them if it is open.

        Raises:
            StoreError: they cannot be stored.
        """
        surface, view = self._surface, self._surface.view
        stored = await surface.chat.conversations.set_options(changed)
        if stored.id == view.open_id:
            view.conversation = stored
            surface.transcript.set_head(head_text(surface.chat, stored))
            self.show_disclaimer()
            self._idle_status.show_current()
            self._draft_cost.count_soon()

    # --- parts ----------------------------------------------------------------------------------

    async def show_branches(self) -> None:
        open_id = self._surface.view.open_id
        if open_id is not None:
            positions = await self._surface.chat.conversations.branches(open_id)
            self._surface.transcript.show_branches(positions)

    def show_welcome(self) -> None:
        """Show the welcome if no conversation is open."""
        if self._surface.view.conversation is None:
            self._surface.transcript.show_welcome(welcome_text(self._surface.state))

    def show_disclaimer(self) -> None:
        """Keep the disclaimer of the model's field in sight, whatever is scrolled."""
        surface = self._surface
        text = disclaimer_text(surface.state, surface.view.conversation)
        line = surface.screen.query_one("#disclaimer", Static)
        if line.display != bool(text):
            line.display = bool(text)
        if text:
            line.update(text)
