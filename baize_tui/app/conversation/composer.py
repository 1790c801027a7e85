"""What the prompt shows: the draft of the open conversation, or an edit or a recalled message over
it, which leaves the draft as it is."""

from __future__ import annotations

from msgspec import Struct

from baize_tui.app.conversation.conversation_drafts import ConversationDrafts, Layer
from baize_tui.app.conversation.draft_keeper import DraftKeeper
from baize_tui.app.conversation.slash_commands import as_message
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.widgets.pastes import editable
from baize_tui.app.widgets.prompt import BETWEEN
from baize_tui.store.draft_parts import WrittenMessage, as_written, message_parts
from baize_tui.store.records import (
    Conversation,
    DraftParts,
    Message,
    Paste,
    Unsent,
    UnsentKind,
)


def file_name(part: Paste) -> str:
    """The name of an attached file; empty for a form."""
    return part.name if part.form is None else ""


class Outgoing(Struct, eq=False):
    """What the person sends."""

    parts: DraftParts
    drafts: ConversationDrafts
    layer: Layer
    id: str
    """Its id in the store, if it is there: removed when it is saved as a message."""

    @property
    def written(self) -> WrittenMessage:
        return as_written(self.parts)

    @property
    def typed(self) -> str:
        """What was typed around the last paste: below it, else above it. With files alone, all of
        it with their names; empty without a paste."""
        if not any(isinstance(part, Paste) and part.text for part in self.parts):
            return ""
        if all(isinstance(part, str) or part.name for part in self.parts):
            return "".join(
                part if isinstance(part, str) else file_name(part) for part in self.parts
            )
        typed = [part for part in self.parts if isinstance(part, str) and part.strip()]
        return typed[-1] if typed else ""

    @property
    def edited(self) -> Message | None:
        """The message that it replaces, or whose summary it replaces."""
        return self.layer.message

    def as_unsent(self) -> Unsent:
        """The same for the store, until it is a message."""
        message_id = self.edited.id if self.edited is not None else None
        kind = self.layer.kind
        return Unsent(self.id, kind, self.drafts.conversation_id, self.parts, message_id)


class Composer:
    """Gives the prompt the text that belongs there, and takes it when it is sent."""

    def __init__(self, surface: Surface, keeper: DraftKeeper) -> None:
        self._surface = surface
        self._view = surface.view
        self._prompt = surface.prompt
        self._keeper = keeper
        self._shown = ConversationDrafts(None)

    @property
    def shown(self) -> ConversationDrafts:
        """The drafts of the open conversation."""
        return self._shown

    # --- which text is shown --------------------------------------------------------------------

    async def load(self, conversation: Conversation | None) -> ConversationDrafts:
        """The drafts of ``conversation``, to be shown; None for a new one."""
        return await self._keeper.load(conversation)

    async def start(self) -> None:
        """Show the draft of the conversation that was not created yet when the client last ended,
        with what was typed since the start."""
        typed = self._prompt.parts
        self.show(await self.load(None))
        self._put_in_front(self._shown, typed)

    def show(self, drafts: ConversationDrafts) -> None:
        """Show the drafts of the conversation that is open from now on."""
        if drafts is not self._shown:
            self._put_away()
            self._shown = drafts
            self._show_top()
        self._note_editing(self._shown.top)

    def _note_editing(self, layer: Layer) -> None:
        self._view.editing = layer.message
        self._view.edits_summary = layer.kind == "summary"

    def show_new(self) -> None:
        """Show the draft of the conversation that is not created yet."""
        self.show(self._keeper.loaded(None))

    def loaded(self, conversation_id: str) -> ConversationDrafts:
        """The drafts of a conversation that was open before."""
        return self._keeper.loaded(conversation_id)

    def created(self, conversation: Conversation) -> None:
        """The conversation that was not created yet is ``conversation``."""
        self._keeper.move(self._shown, conversation)

    def changed(self) -> None:
        """The text in the prompt has changed."""
        top = self._shown.top
        if top.parts != self._prompt.unsent:
            top.parts = self._prompt.unsent
            self._keeper.note_change(self._shown, top)

    async def save(self) -> None:
        """Write everything that is not stored yet.

        Raises:
            StoreError: it cannot be written.
        """
        self.changed()
        await self._keeper.save()

    def stop(self) -> None:
        """The store is about to be closed: write nothing more."""
        self._keeper.stop()

    def _put_away(self) -> None:
        self.changed()
        self._shown.top.composition = self._prompt.put_away()

    def _show_top(self) -> None:
        layer = self._shown.top
        if layer.composition is not None:
            self._prompt.resume(layer.composition)
        else:
            # Undoing leads back to what it began with.
            self._prompt.begin(layer.start)
            self._prompt.change_to(layer.parts or layer.start)
        self._note_editing(layer)

    def _push(self, layer: Layer) -> None:
        self._put_away()
        self._shown.layers.append(layer)
        self._show_top()
        self.changed()

    def _pop(self) -> Layer:
        self._put_away()
        layer = self._shown.layers.pop()
        if layer.kind == "recalled":
            self._shown.recalled = -1
        self._show_top()
        return layer

    # --- edits ----------------------------------------------------------------------------------

    def edit(self, message: Message) -> None:
        """Show ``message`` to be edited, or its edit that was begun before."""
        self._edit("edit", message, message_parts(message))

    def edit_summary(self, message: Message) -> None:
        """The same for the summary of what is above ``message``."""
        self._edit("summary", message, (message.summary,))

    def _edit(self, kind: UnsentKind, message: Message, parts: DraftParts) -> None:
        top = self._shown.top
        if top.message is not None and (top.kind, top.message.id) == (kind, message.id):
            return
        self.leave_edit()
        layer = self._shown.closed_edits.pop((kind, message.id), None)
        if layer is None:
            layer = Layer(kind, message=message, start=as_message(editable(parts)))
        self._push(layer)

    def leave_edit(self) -> Layer | None:
        """Leave an edit for the draft; None if there is none. The edit is kept if it differs."""
        message = self._shown.top.message
        if message is None:
            return None
        layer = self._pop()
        self._keeper.note_change(self._shown, layer)
        if layer.to_store:
            self._shown.closed_edits[layer.kind, message.id] = layer
        return layer

    # --- earlier messages -----------------------------------------------------------------------

    async def recall(self, step: int) -> None:
        """Show an earlier message over the draft; ``step`` 1 is back, -1 forward."""
        drafts = self._shown
        questions = await self._surface.chat.conversations.questions()
        if drafts is not self._shown or drafts.top.message is not None:
            return  # another conversation was opened meanwhile, or a message is edited
        place, before = drafts.recalled + step, len(drafts.left)
        self.leave_recalled()
        place = min(place + len(drafts.left) - before, len(drafts.left) + len(questions) - 1)
        if place < 0:
            return
        if place < len(drafts.left):
            layer = drafts.left[place]
        else:
            start = as_message(editable(questions[place - len(drafts.left)]))
            layer = Layer("recalled", start=start)
        self._push(layer)
        drafts.recalled = place

    def leave_recalled(self) -> Layer | None:
        """Leave a recalled message for the draft; None if there is none. If it was changed, it
        stays among the earlier messages."""
        drafts = self._shown
        if drafts.top.kind != "recalled":
            return None
        layer = self._pop()
        if layer.to_store and layer not in drafts.left:
            drafts.left.insert(0, layer)
        elif not layer.to_store and layer in drafts.left:
            drafts.left.remove(layer)
        self._keeper.note_change(drafts, layer)
        return layer

    # --- sending --------------------------------------------------------------------------------

    def take(self, parts: DraftParts) -> Outgoing:
        """Take ``parts``, which the prompt has given away, to be sent."""
        drafts, layer = self._shown, self._shown.top
        outgoing = Outgoing(parts, drafts, layer, self._keeper.detach(layer))
        if layer is not drafts.draft:
            since = self._prompt.parts  # typed after Enter
            self._pop()
            if layer in drafts.left:
                drafts.left.remove(layer)
            self._put_in_front(drafts, since)
        self.changed()
        return outgoing

    def put_back(self, outgoing: Outgoing) -> None:
        """Show again what could not be sent."""
        drafts, layer = outgoing.drafts, outgoing.layer
        drafts.obsolete.append(outgoing.id)
        if layer.message is None:
            self._put_in_front(drafts, outgoing.parts)
            return
        layer.parts, layer.composition = outgoing.parts, None
        if drafts is self._shown and drafts.top.message is None:
            self._push(layer)
        else:
            drafts.closed_edits[layer.kind, layer.message.id] = layer
        self._keeper.note_change(drafts, layer)

    def add(self, parts: DraftParts, id: str) -> None:
        """Put ``parts``, which have this id in the store, in front of the open draft."""
        self.leave_edit()
        self._shown.obsolete.append(id)
        self._put_in_front(self._shown, parts)

    def _put_in_front(self, drafts: ConversationDrafts, parts: DraftParts) -> None:
        if not parts:
            return
        layer = drafts.draft
        if layer is self._shown.top:
            self._prompt.put_in_front(parts)
            self.changed()
        else:
            layer.parts = (*parts, BETWEEN, *layer.parts) if layer.parts else parts
            layer.composition = None
        self._keeper.note_change(drafts, layer)
