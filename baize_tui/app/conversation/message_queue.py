"""Messages that wait for the end of an answer, in each conversation."""

from __future__ import annotations

import contextlib

from baize_tui.app.conversation.composer import Composer
from baize_tui.app.conversation.conversation_drafts import ConversationDrafts, Queued
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.widgets.pastes import shown_text
from baize_tui.app.widgets.queue_lines import (
    ENTER_SENDS,
    ENTER_SENDS_TO,
    QUEUED,
    QUEUED_FOR,
    WAITING,
    QueueLines,
)
from baize_tui.catalog.recipes import CatalogError
from baize_tui.store.errors import StoreError
from baize_tui.store.records import Unsent
from baize_tui.translation import tr


class MessageQueue:
    """Adds and removes queued messages, in the store too, and shows those of one conversation."""

    def __init__(self, surface: Surface, composer: Composer, lines: QueueLines) -> None:
        self._surface = surface
        self._store = surface.chat.drafts
        self._prompt = surface.prompt
        self._composer = composer
        self._lines = lines

    def refresh(self) -> None:
        """Show the queue of the open conversation as it is now."""
        drafts = self._composer.shown
        texts = tuple(shown_text(queued.parts).strip() for queued in drafts.queue)
        # With a draft in the prompt, Enter sends that.
        if not texts:
            state = tr(QUEUED)
        elif not drafts.waits:
            state = self._with_model(QUEUED, QUEUED_FOR)
        elif self._prompt.text:
            state = tr(WAITING)
        else:
            state = self._with_model(ENTER_SENDS, ENTER_SENDS_TO)
        self._lines.show(texts, state)

    def _with_model(self, alone: str, with_model: str) -> str:
        """The message ``with_model`` with the model that answers; ``alone`` if there is none."""
        conversation = self._surface.view.conversation
        model = None
        with contextlib.suppress(CatalogError):  # sending it says why
            if conversation is not None:
                model = self._surface.chat.active_model.answering_model(conversation)
        return tr(alone) if model is None else tr(with_model, model=model.name)

    async def add(self, drafts: ConversationDrafts, queued: Queued) -> None:
        """Add a message at the end.

        Raises:
            StoreError: it cannot be stored; it is not in the queue then.
        """
        # At once: the answer that it waits for may end while it is stored.
        drafts.queue.append(queued)
        self.refresh()
        try:
            await self._save(drafts, queued)
        except StoreError:
            if queued in drafts.queue:  # else it was taken meanwhile, to be sent or written on
                drafts.queue.remove(queued)
                self.refresh()
                raise

    async def remove_last(self, drafts: ConversationDrafts) -> Queued | None:
        """Remove the last message; None if there is none.

        Raises:
            StoreError: it is still stored.
        """
        # At once: it must not be sent while it is removed from the store.
        if (queued := self.take_last(drafts)) is None:
            return None
        try:
            await self._store.remove(queued.id)
        except StoreError:
            drafts.queue.append(queued)
            self.refresh()
            raise
        return queued

    def take_last(self, drafts: ConversationDrafts) -> Queued | None:
        """Take the last message out, to be written on; it stays in the store."""
        queued = drafts.queue.pop() if drafts.queue else None
        self.refresh()
        return queued

    def take_first(self, drafts: ConversationDrafts) -> Queued | None:
        """Take the first message out, to be sent; it stays in the store."""
        queued = drafts.queue.pop(0) if drafts.queue else None
        self.refresh()
        return queued

    def put_back(self, drafts: ConversationDrafts, queued: Queued) -> None:
        """Return the first message, which could not be sent; the queue waits from now on."""
        drafts.queue.insert(0, queued)
        self.hold(drafts)

    def hold(self, drafts: ConversationDrafts) -> None:
        """Let the queue wait for the person."""
        drafts.waits = bool(drafts.queue)
        self.refresh()

    def release(self, drafts: ConversationDrafts) -> None:
        """Let the queue go on with each answer that ends."""
        drafts.waits = False
        self.refresh()

    async def _save(self, drafts: ConversationDrafts, queued: Queued) -> None:
        await self._store.save(Unsent(queued.id, "queued", drafts.conversation_id, queued.parts))
