"""Opening a conversation, and showing it as the store has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from textual.widgets import Static

from baize_tui.app.conversation.composer import Composer
from baize_tui.app.conversation.draft_cost import DraftCost
from baize_tui.app.conversation.idle_status import IdleStatus
from baize_tui.app.conversation.list_updates import ListUpdates
from baize_tui.app.conversation.message_queue import MessageQueue
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.texts import disclaimer_text, head_text, welcome_contents
from baize_tui.app.transcript.welcome import Paragraph, WelcomeContents
from baize_tui.chat.context import ContextUse
from baize_tui.store.errors import StoreError
from baize_tui.store.records import Conversation, Message

FIRST_MESSAGES, MORE_MESSAGES = 60, 500
"""Messages read to open a conversation, and at a time for those above them."""
REST_GROUP, CHANGES_GROUP = "rest of the turns", "changes by other clients"
"""The groups of the workers that read what is above, and what others have written."""


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
        self._beginning = asyncio.Lock()
        self._openings = 0
        """How often a conversation was opened: the last one is shown, not the one read last."""
        self._has_changed = False
        """Whether other clients have written something that is not shown yet."""
        self.on_shown: Callable[[bool], None] | None = None
        """Called when turns were added above or others are shown, with whether these are all."""
        list_updates.on_watch = self._watch_other_clients

    # --- opening --------------------------------------------------------------------------------

    async def open(self, conversation: Conversation) -> None:
        """Show ``conversation``: its last turns at once, the others in the background.

        Nothing is shown if another conversation was opened while this one was read.
        """
        surface, view = self._surface, self._surface.view
        opening = self._count_opening()
        drafts = await self._composer.load(conversation)
        messages = await self._last_messages(conversation)
        if opening != self._openings:
            return
        view.open(conversation)
        surface.prompt.examples = ()
        self._composer.show(drafts)
        self._queue.refresh()
        head = head_text(surface.chat, conversation)
        surface.transcript.show(messages, head, conversation.context_start)
        self._report_shown()
        self.show_disclaimer()
        self._list_updates.refresh()
        self._idle_status.show_current()
        surface.status.show_stop(view.is_answering)
        show_rest = partial(self._show_rest, conversation, messages)
        surface.run_worker(show_rest, group=REST_GROUP, exclusive=True)

    def _count_opening(self) -> int:
        self._openings += 1
        return self._openings

    async def _last_messages(self, conversation: Conversation) -> list[Message]:
        """The end of the branch that is shown, with the answer in progress as it is now."""
        if conversation.leaf_id is None:
            return []
        chat, live = self._surface.chat, self._surface.view.live.get(conversation.id)
        messages = await chat.messages.path_end(conversation.leaf_id, FIRST_MESSAGES)
        if live is not None:
            messages = [live.message if m.id == live.message.id else m for m in messages]
        return messages

    async def _show_rest(self, conversation: Conversation, messages: Sequence[Message]) -> None:
        """Show what can come later: the turns above, the branches, the use of the context."""
        surface, view = self._surface, self._surface.view
        first = messages[0] if messages else None
        if messages:
            last = await surface.chat.messages.get(messages[-1].id)
            answers = surface.chat.active_model.answers(conversation)
            if (used := last.tokens_used) is not None and answers and view.context is None:
                # About; it is counted unless the engine is in use.
                view.context = ContextUse(used, has_draft=False, effect="fits")
                self._idle_status.update()
        self._draft_cost.count_now()
        while first is not None and first.parent_id is not None:
            earlier = await surface.chat.messages.path_end(first.parent_id, MORE_MESSAGES)
            if view.open_id != conversation.id or not earlier:
                return
            surface.transcript.show_earlier(earlier, conversation.context_start)
            self._report_shown()
            first = earlier[0]
        await self.show_branches()

    def _report_shown(self) -> None:
        if self.on_shown is not None:
            turns = self._surface.transcript.turns
            self.on_shown(not turns or turns[0].message.parent_id is None)

    def open_new(self) -> None:
        """Show the welcome; the first message begins a conversation."""
        surface, view = self._surface, self._surface.view
        self._count_opening()
        view.open(None)
        self._composer.show_new()
        self._queue.refresh()
        surface.screen.workers.cancel_group(surface.screen, REST_GROUP)
        self.show_welcome()
        self._report_shown()
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
        async with self._beginning:
            if view.conversation is not None:
                return view.conversation
            created = await surface.chat.new_conversation()
            if view.conversation is None:  # no other was opened meanwhile
                view.conversation = created
                surface.prompt.examples = ()
                self._composer.created(created)
                surface.transcript.show([], head_text(surface.chat, created), None)
                self.show_disclaimer()
                self._list_updates.refresh()
            return created

    def recount(self) -> None:
        """Count the context again: what the model sees has changed."""
        self._draft_cost.count_soon()

    def present(self) -> Conversation:
        """The open conversation, or what a new one would be, whose id is empty."""
        view = self._surface.view
        if view.conversation is not None:
            return view.conversation
        return self._surface.chat.unsaved_conversation()

    # --- changes --------------------------------------------------------------------------------

    async def reload(self) -> None:
        """Show the open conversation as the store has it now."""
        open_id = self._surface.view.open_id
        if open_id is None:
            return
        conversation = await self._surface.chat.conversations.get(open_id)
        if self._surface.view.open_id == open_id:
            await self.open(conversation)

    async def change_options(self, changed: Conversation) -> Conversation:
        """Store the options of a conversation, and show them if it is open; one without an id is
        created. Returns it as it is stored.

        Raises:
            StoreError: they cannot be stored.
        """
        surface, view = self._surface, self._surface.view
        if not changed.id:
            changed = msgspec.structs.replace(changed, id=(await self.begin()).id)
        stored = await surface.chat.conversations.set_options(changed)
        if stored.id == view.open_id:
            view.conversation = stored
            surface.transcript.set_head(head_text(surface.chat, stored))
            self.show_disclaimer()
            self._queue.refresh()
            self._idle_status.show_current()
            self._draft_cost.count_now()
        return stored

    # --- other clients --------------------------------------------------------------------------

    def _watch_other_clients(self, changed: bool) -> None:
        """Show what another client has written, and whether one that was writing has ended."""
        self._has_changed |= changed
        if self._surface.view.conversation is not None and (
            self._has_changed or self._other_client_writes
        ):
            self._surface.run_worker(self.show_changes, group=CHANGES_GROUP, exclusive=True)

    @property
    def _other_client_writes(self) -> bool:
        """Whether an answer of another client grows in the open conversation."""
        live = self._surface.view.live.get(self._surface.view.open_id or "")
        own = live.message.id if live is not None else None
        turns = self._surface.transcript.turns
        return bool(turns) and turns[-1].growing and turns[-1].message.id != own

    async def show_changes(self) -> None:
        """Show the open conversation as the store has it now; what is in sight and what is typed
        stay."""
        surface, view = self._surface, self._surface.view
        before = view.conversation
        if before is None or surface.chat.unsaved:  # the store has less than the screen
            return
        try:
            if self._other_client_writes:
                await surface.chat.conversations.mark_interrupted()
            stored = await surface.chat.conversations.get(before.id)
            messages = await self._last_messages(stored)
        except StoreError:
            return  # such as a lock that another program holds; the next look may succeed
        if view.open_id != stored.id:
            return
        if not _is_same(view.conversation, before):
            return  # the person changed it meanwhile; the next look reads that too
        self._has_changed = False
        if not surface.transcript.can_continue(messages):
            await self.open(stored)
            return
        view.conversation = stored
        if (head := head_text(surface.chat, stored)) != head_text(surface.chat, before):
            surface.transcript.set_head(head)
        changed = surface.transcript.show_end(messages, stored.context_start)
        if changed or stored != before:
            self.show_disclaimer()
            await self.show_branches()
            self._idle_status.update()
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
            contents = welcome_contents(self._surface.state)
            self._surface.transcript.show_welcome(contents)
            self._surface.prompt.examples = contents.examples

    def show_greeting(self, greeting: str) -> None:
        """Show what a persona says before the first message."""
        surface = self._surface
        conversation = surface.view.conversation
        if conversation is not None and not surface.transcript.turns:
            paragraphs = (Paragraph(greeting),) if greeting else ()
            surface.transcript.show_welcome(WelcomeContents(paragraphs))
            surface.transcript.set_head(head_text(surface.chat, conversation))

    def show_disclaimer(self) -> None:
        """Keep the disclaimer of the model's field in sight, whatever is scrolled."""
        surface = self._surface
        text = disclaimer_text(surface.state, surface.view.conversation)
        line = surface.screen.query_one("#disclaimer", Static)
        if line.display != bool(text):
            line.display = bool(text)
        if text:
            line.update(text)


def _is_same(conversation: Conversation | None, before: Conversation) -> bool:
    """Whether all but the title, which the list keeps up to date, is as ``before``."""
    return conversation is not None and before == msgspec.structs.replace(
        conversation, title=before.title, title_source=before.title_source
    )
