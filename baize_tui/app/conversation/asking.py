"""Asking: sending or queueing the prompt, answering again, continuing, stopping."""

from __future__ import annotations

from baize_tui.app.conversation.answers import Answers, Events
from baize_tui.app.conversation.composer import Composer, Outgoing
from baize_tui.app.conversation.conversation_drafts import ConversationDrafts, Layer, Queued
from baize_tui.app.conversation.conversation_view import ConversationView
from baize_tui.app.conversation.idle_status import IdleStatus
from baize_tui.app.conversation.message_queue import MessageQueue
from baize_tui.app.conversation.slash_commands import as_message
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.undo import UndoStack
from baize_tui.store.draft_parts import as_written
from baize_tui.store.errors import StoreError
from baize_tui.store.records import DraftParts, parts_text
from baize_tui.translation import msg, tr

WAIT_FOR_END = msg("an answer is still being written; {key} stops it, then enter sends your edit")
FORM_ALONE = msg("type the message whose answer has this form")
EDIT_KEPT = msg("your edit is kept · {key} continues it")
RECALL_KEPT = msg("your words are kept · {key} shows them")
REMOVED = msg("removed · {key} restores it")
SUMMARY_SAVED = msg("the summary is saved · {key} restores the one before")


class Asking:
    """Starts and stops turns, in the open conversation and where messages are queued."""

    def __init__(
        self,
        surface: Surface,
        idle_status: IdleStatus,
        conversation_view: ConversationView,
        answers: Answers,
        composer: Composer,
        queue: MessageQueue,
        undo_stack: UndoStack,
    ) -> None:
        self._surface = surface
        self._view = surface.view
        self._idle_status = idle_status
        self._conversation_view = conversation_view
        self._answers = answers
        self._composer = composer
        self._queue = queue
        self._undo_stack = undo_stack
        answers.on_end = self._send_next

    def can_start(self) -> bool:
        """Whether a turn can start; shows why not if there is no model."""
        return self._check_model() and not self._view.is_answering

    @property
    def has_model(self) -> bool:
        """Whether there is a model, or one may still be found."""
        state = self._surface.state
        no_model = state.chat.active_model.loaded is None and state.model is None
        return not (state.load_ended.is_set() and no_model)

    def _check_model(self) -> bool:
        """Whether there is a model; shows how to get one if there is none."""
        if not self.has_model:
            key = self._surface.state.keys["model"]
            self._surface.status.show(
                tr("there is no model; {key} lists the models", key=key), "problem"
            )
        return self.has_model

    # --- sending --------------------------------------------------------------------------------

    async def send(self, parts: DraftParts) -> None:
        """Ask what was in the prompt, or store it as the edited message, in the open or a new
        conversation. During an answer it is queued; an empty prompt sends what is queued."""
        if not parts_text(parts).strip():
            if as_written(parts).form is not None:
                self._surface.prompt.put_in_front(parts)
                self._surface.status.show(tr(FORM_ALONE), "problem")
            else:
                await self._send_waiting()
            return
        outgoing = self._composer.take(parts)
        if self._view.is_answering:
            await self._send_later(outgoing)
        elif outgoing.edited is not None and outgoing.layer.kind == "summary":
            await self._save_summary(outgoing, outgoing.edited.id)
        elif not self._check_model():
            self._composer.put_back(outgoing)
        else:
            await self._start(outgoing)

    async def _start(self, outgoing: Outgoing) -> None:
        try:
            # First of all: the client may be killed, or quit, before the message is saved.
            await self._surface.chat.drafts.save(outgoing.as_unsent())
            conversation_id = outgoing.drafts.conversation_id
            if conversation_id is None:
                conversation_id = (await self._conversation_view.begin()).id
        except StoreError as error:
            self._composer.put_back(outgoing)
            self._surface.status.show(str(error), "problem")
            return
        if conversation_id in self._view.live:  # another turn began while it was stored
            await self._send_later(outgoing)
            return
        chat, edited = self._surface.chat, outgoing.edited
        written, unsent = outgoing.written, outgoing.id
        attachments, form = written.attachments, written.form
        if edited is not None:
            events = chat.edit(
                edited.id, written.text, unsent=unsent, attachments=attachments, form=form
            )
        else:
            events = self._ask(conversation_id, outgoing)
        self._answers.start_with_message(
            conversation_id, events, lambda: self._composer.put_back(outgoing)
        )

    def _ask(self, conversation_id: str, outgoing: Outgoing) -> Events:
        written = outgoing.written
        return self._surface.chat.ask(
            conversation_id,
            written.text,
            typed=outgoing.typed,
            unsent=outgoing.id,
            attachments=written.attachments,
            form=written.form,
        )

    async def _save_summary(self, outgoing: Outgoing, message_id: int) -> None:
        """Save the edited summary of what is above a message."""
        messages, drafts = self._surface.chat.messages, self._surface.chat.drafts
        try:
            before = (await messages.get(message_id)).summary
            await self._change_summary(message_id, outgoing.written.text)
            await drafts.remove(outgoing.id)
        except StoreError as error:
            self._composer.put_back(outgoing)
            self._surface.status.show(str(error), "problem")
            return

        async def undo() -> None:
            await self._change_summary(message_id, before)

        self._undo_stack.push(undo)
        key = self._surface.state.keys["undo"]
        self._surface.status.show(tr(SUMMARY_SAVED, key=key))

    async def _change_summary(self, message_id: int, summary: str) -> None:
        message = await self._surface.chat.messages.set_summary(message_id, summary)
        if self._surface.transcript.turn(message_id) is not None:
            self._surface.transcript.mark_context_start(message)
        self._conversation_view.recount()

    # --- the queue ------------------------------------------------------------------------------

    async def _send_later(self, outgoing: Outgoing) -> None:
        """An answer is being written: queue a message, and show an edit again."""
        if outgoing.edited is None:
            await self._enqueue(outgoing)
            return
        self._composer.put_back(outgoing)
        key = self._surface.state.keys["stop"]
        self._surface.status.show(tr(WAIT_FOR_END, key=key), "problem")

    async def _enqueue(self, outgoing: Outgoing) -> None:
        try:
            await self._queue.add(outgoing.drafts, Queued(outgoing.parts, outgoing.id))
        except StoreError as error:
            self._composer.put_back(outgoing)
            self._surface.status.show(str(error), "problem")

    async def _send_waiting(self) -> None:
        """Send the queue of the open conversation, which waits for the person."""
        drafts = self._composer.shown
        if drafts.queue and drafts.top is drafts.draft and self.can_start():
            self._queue.release(drafts)
            self._send_first(drafts)

    async def _send_next(self, conversation_id: str, ended_well: bool) -> None:
        """An answer has ended: send the next queued message, unless the answer was stopped."""
        drafts = self._composer.loaded(conversation_id)
        if not ended_well:
            self._queue.hold(drafts)
        elif not drafts.waits:
            self._send_first(drafts)

    def _send_first(self, drafts: ConversationDrafts) -> None:
        conversation_id = drafts.conversation_id
        if conversation_id is None or (queued := self._queue.take_first(drafts)) is None:
            return
        outgoing = Outgoing(queued.parts, drafts, Layer(), queued.id)
        events = self._ask(conversation_id, outgoing)
        self._answers.start_with_message(
            conversation_id, events, lambda: self._queue.put_back(drafts, queued)
        )

    def take_back(self) -> bool:
        """Put the last queued message into the prompt; False if there is none."""
        queued = self._queue.take_last(self._composer.shown)
        if queued is None:
            return False
        self._composer.add(as_message(queued.parts), queued.id)
        self._surface.focus_prompt()
        return True

    async def remove_queued(self) -> bool:
        """Remove the last queued message; False if there is none."""
        drafts = self._composer.shown
        queued = await self._queue.remove_last(drafts)
        if queued is None:
            return False

        async def undo() -> None:
            await self._queue.add(drafts, queued)

        self._undo_stack.push(undo)
        key = self._surface.state.keys["undo"]
        self._surface.status.show(tr(REMOVED, key=key))
        return True

    # --- answers --------------------------------------------------------------------------------

    def answer_again(self) -> None:
        """Regenerate the selected answer, or the last one."""
        transcript, conversation = self._surface.transcript, self._view.conversation
        turn = transcript.turn_to_work_on()
        if turn is None or not self.can_start() or conversation is None:
            return
        self._composer.leave_edit()
        message = turn.message
        # Ids grow along a branch: for a question, this removes its answer and all below that.
        transcript.remove_from(message.id + 1 if message.role == "user" else message.id)
        self._answers.start(conversation, self._surface.chat.regenerate(message.id))

    def continue_last(self) -> None:
        """Continue the last answer, or answer the last question."""
        chat, conversation = self._surface.chat, self._view.conversation
        turns = self._surface.transcript.turns
        if not turns or not self.can_start() or conversation is None:
            return
        self._composer.leave_edit()
        last = turns[-1].message
        if last.role == "user":
            self._answers.start(conversation, chat.regenerate(last.id))
        else:
            self._answers.start(conversation, chat.continue_answer(last.id))

    def stop(self) -> None:
        """Stop the answer; else leave the edit or the recalled message; else select no message."""
        open_id = self._view.open_id
        if open_id is not None and self._answers.stop(open_id):
            return
        if (layer := self._composer.leave_edit()) is not None:
            self._idle_status.show()
            if layer.to_store:
                action = "summary" if layer.kind == "summary" else "edit"
                key = self._surface.state.keys[action]
                self._surface.status.show(tr(EDIT_KEPT, key=key))
        elif (layer := self._composer.leave_recalled()) is not None:
            self._idle_status.show()
            if layer.to_store:
                key = self._surface.state.keys["earlier"]
                self._surface.status.show(tr(RECALL_KEPT, key=key))
        else:
            self._surface.transcript.select(None)
