"""Asking: sending the prompt, answering again, continuing, stopping; and recalling old messages."""

from __future__ import annotations

from baize_tui.app.conversation.answers import Answers
from baize_tui.app.conversation.conversation_view import ConversationView
from baize_tui.app.conversation.idle_status import IdleStatus
from baize_tui.app.conversation.surface import Surface
from baize_tui.store.errors import StoreError


class Asking:
    """Starts and stops turns in the open conversation."""

    def __init__(
        self,
        surface: Surface,
        idle_status: IdleStatus,
        conversation_view: ConversationView,
        answers: Answers,
    ) -> None:
        self._surface = surface
        self._view = surface.view
        self._idle_status = idle_status
        self._conversation_view = conversation_view
        self._answers = answers
        self._recalled = -1
        """Which earlier message is in the prompt, 0 for the latest; -1 for none."""

    def can_start(self) -> bool:
        """Whether a turn can start; shows why not if there is no model."""
        state = self._surface.state
        no_model = state.chat.active_model.loaded is None and state.model is None
        if state.load_ended.is_set() and no_model:
            key = state.keys["model"]
            self._surface.status.show(f"there is no model; {key} lists the models", "problem")
            return False
        return not self._view.is_answering

    async def send(self, text: str) -> None:
        """Ask ``text``, or store it as the edited message, in the open or a new conversation."""
        if not self.can_start():
            return
        try:
            conversation = await self._conversation_view.begin()
        except StoreError as error:
            self._surface.status.show(str(error), "problem")
            return
        chat = self._surface.chat
        self._surface.prompt.clear_draft()
        self._recalled = -1
        edited, self._view.editing = self._view.editing, None
        if edited is not None:
            self._surface.transcript.remove_from(edited.id)
            self._answers.start_with_question(conversation, chat.edit(edited.id, text))
        else:
            self._answers.start_with_question(conversation, chat.ask(conversation.id, text), text)

    def answer_again(self) -> None:
        """Regenerate the selected answer, or the last one."""
        transcript, conversation = self._surface.transcript, self._view.conversation
        turn = transcript.turn_to_work_on()
        if turn is None or not self.can_start() or conversation is None:
            return
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
        last = turns[-1].message
        if last.role == "user":
            self._answers.start(conversation, chat.regenerate(last.id))
        else:
            self._answers.start(conversation, chat.continue_answer(last.id))

    def stop(self) -> None:
        """Stop the answer; else cancel the edit; else select no message."""
        open_id = self._view.open_id
        if open_id is not None and self._surface.chat.stop(open_id):
            return
        if self._view.editing is not None:
            self._view.editing = None
            self._surface.prompt.clear_draft()
            self._idle_status.show()
        else:
            self._surface.transcript.select(None)

    async def recall(self, step: int) -> None:
        """Put an earlier message into the prompt; ``step`` 1 is back, -1 forward."""
        questions = await self._surface.chat.conversations.questions()
        place = min(self._recalled + step, len(questions) - 1)
        self._recalled = max(place, -1)
        self._surface.prompt.set_draft(questions[place] if place >= 0 else "")
