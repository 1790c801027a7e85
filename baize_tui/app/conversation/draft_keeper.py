"""Reading what is not sent from the store, and writing it soon after each change."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from textual.timer import Timer

from baize_tui.app.conversation.conversation_drafts import (
    ConversationDrafts,
    Layer,
    Queued,
    new_id,
)
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.widgets.prompt import BETWEEN
from baize_tui.store.draft_parts import message_parts
from baize_tui.store.errors import StoreError
from baize_tui.store.records import Conversation, Unsent
from baize_tui.translation import msg, tr

SAVE_AFTER_S = 0.15
"""A change is written after this time, so that at most 250 ms of typing can be lost."""
SAVE_GROUP = "drafts"
"""The group of the worker that writes."""
NOT_SAVED, SAVED = msg("the draft is not saved yet: {why}"), msg("the draft is saved")


class DraftKeeper:
    """The drafts of all conversations that were opened; the prompt's is given by ``Composer``."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._drafts: dict[str | None, ConversationDrafts] = {}
        self._changed: dict[str, tuple[ConversationDrafts, Layer]] = {}
        self._timer: Timer | None = None
        self._saving = asyncio.Lock()
        self._ended = False

    # --- reading --------------------------------------------------------------------------------

    async def load(self, conversation: Conversation | None) -> ConversationDrafts:
        """The drafts of ``conversation``, or of the one that is not created yet.

        If the store cannot be read, they are empty and the reason is shown.
        """
        id = conversation.id if conversation is not None else None
        if id not in self._drafts:
            try:
                rows = await self._surface.chat.drafts.take_over(id)
                drafts = await self._arrange(id, rows, conversation)
            except StoreError as error:
                self._surface.status.show(str(error), "problem")
                return ConversationDrafts(id)
            self._drafts.setdefault(id, drafts)
        return self._drafts[id]

    def loaded(self, conversation_id: str | None) -> ConversationDrafts:
        """The drafts of a conversation that were loaded before; else empty ones."""
        return self._drafts.setdefault(conversation_id, ConversationDrafts(conversation_id))

    async def _arrange(
        self, id: str | None, rows: Sequence[Unsent], conversation: Conversation | None
    ) -> ConversationDrafts:
        drafts = ConversationDrafts(id)
        drafts.queue = [Queued(row.parts, row.id) for row in rows if row.kind == "queued"]
        drafts.waits = bool(drafts.queue)
        drafts.layers = [self._merge(drafts, [row for row in rows if row.kind == "draft"], Layer())]
        for row in reversed([row for row in rows if row.kind == "recalled"]):
            drafts.left.append(self._merge(drafts, [row], Layer("recalled")))
            if row.is_open and drafts.recalled < 0:
                drafts.layers.append(drafts.left[-1])
                drafts.recalled = len(drafts.left) - 1
        edits = [row for row in rows if row.kind in ("edit", "summary")]
        await self._arrange_edits(drafts, edits, conversation)
        return drafts

    async def _arrange_edits(
        self, drafts: ConversationDrafts, rows: Sequence[Unsent], conversation: Conversation | None
    ) -> None:
        messages = self._surface.chat.messages
        leaf = conversation.leaf_id if conversation is not None else None
        opened = any(row.is_open for row in rows) and leaf is not None
        shown = {message.id for message in await messages.path(leaf)} if opened and leaf else set()
        edited = [(row.kind, row.message_id) for row in rows if row.message_id is not None]
        for kind, id in dict.fromkeys(edited):
            own = [row for row in rows if (row.kind, row.message_id) == (kind, id)]
            try:
                message = await messages.get(id)
            except StoreError:  # the message is gone: what is written is not
                drafts.left.append(self._merge(drafts, own, Layer("recalled")))
                continue
            start = (message.summary,) if kind == "summary" else message_parts(message)
            layer = Layer(kind, message=message, start=start)
            self._merge(drafts, own, layer)
            if any(row.is_open for row in own) and id in shown and drafts.top.message is None:
                drafts.layers.append(layer)
            else:
                drafts.closed_edits[kind, id] = layer

    def _merge(self, drafts: ConversationDrafts, rows: Sequence[Unsent], layer: Layer) -> Layer:
        """Let ``layer`` have the words of ``rows``: those of several clients one below another."""
        if rows:
            layer.id, layer.parts, layer.stored = rows[-1].id, rows[-1].parts, rows[-1].parts
            layer.stored_open = rows[-1].is_open
        for row in reversed(rows[:-1]):
            layer.parts = (*row.parts, BETWEEN, *layer.parts)
            drafts.obsolete.append(row.id)
        if len(rows) > 1:
            self.note_change(drafts, layer)
        return layer

    def move(self, drafts: ConversationDrafts, conversation: Conversation) -> None:
        """The conversation of ``drafts`` is created now."""
        self._drafts.pop(drafts.conversation_id, None)
        drafts.conversation_id = conversation.id
        self._drafts[conversation.id] = drafts
        for layer in drafts.layers:
            layer.stored = ()  # as words of this conversation
            self.note_change(drafts, layer)

    # --- writing --------------------------------------------------------------------------------

    def note_change(self, drafts: ConversationDrafts, layer: Layer) -> None:
        """Write ``layer`` soon."""
        self._changed[layer.id] = (drafts, layer)
        self._save_later()

    def _save_later(self) -> None:
        if self._timer is None and not self._ended:
            self._timer = self._surface.screen.set_timer(SAVE_AFTER_S, self._start_saving)

    def detach(self, layer: Layer) -> str:
        """Let what is written in ``layer`` from now on be other words; returns the id in the store
        of those that it had."""
        id, layer.id = layer.id, new_id()
        layer.stored, layer.stored_open = (), False
        self._changed.pop(id, None)
        return id

    def _start_saving(self) -> None:
        self._timer = None
        self._surface.run_worker(self._save_or_retry, group=SAVE_GROUP)

    async def _save_or_retry(self) -> None:
        try:
            await self.save()
        except StoreError as error:
            self._surface.begin_problem("draft", tr(NOT_SAVED, why=error))
            self._save_later()
        else:
            self._surface.end_problem("draft", tr(SAVED))

    async def save(self) -> None:
        """Write all changes now.

        Raises:
            StoreError: something could not be written; it is tried again with the next change.
        """
        async with self._saving:
            while self._changed and not self._ended:
                id, (drafts, layer) = self._changed.popitem()
                try:
                    await self._write(drafts, layer)
                except StoreError:
                    self._changed.setdefault(id, (drafts, layer))
                    raise

    async def _write(self, drafts: ConversationDrafts, layer: Layer) -> None:
        id, parts = layer.id, layer.to_store
        is_open = bool(parts) and layer is not drafts.draft and layer in drafts.layers
        store = self._surface.chat.drafts
        if (parts, is_open) != (layer.stored, layer.stored_open):
            if parts:
                message_id = layer.message.id if layer.message is not None else None
                conversation_id = drafts.conversation_id
                await store.save(
                    Unsent(id, layer.kind, conversation_id, parts, message_id, is_open)
                )
            else:
                await store.remove(id)
            if layer.id == id:
                layer.stored, layer.stored_open = parts, is_open
        while drafts.obsolete:
            await store.remove(drafts.obsolete[-1])
            drafts.obsolete.pop()

    def stop(self) -> None:
        """The store is about to be closed: write nothing more."""
        self._ended = True
        if self._timer is not None:
            self._timer.stop()
