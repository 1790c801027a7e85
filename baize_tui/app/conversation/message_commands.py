"""Working on messages: select, edit, branches, unfold, mark, pin, copy, delete."""

from __future__ import annotations

import time

import msgspec
from textual.app import SuspendNotSupported

from baize_tui.app.conversation.composer import Composer
from baize_tui.app.conversation.conversation_view import ConversationView
from baize_tui.app.conversation.draft_cost import DraftCost
from baize_tui.app.conversation.idle_status import EDITING, EDITING_SUMMARY
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.undo import DELETED, UndoStack
from baize_tui.app.transcript.turn import Turn
from baize_tui.store.records import Mark, Message
from baize_tui.translation import msg, tr

NO_CODE = msg("There is no code block in this message.")
BLOCK = msg("Code block {number} of {count}: {notice}")
_COPY_AGAIN_S = 5.0


class MessageCommands:
    """Commands on the selected message, or the last one."""

    def __init__(
        self,
        surface: Surface,
        draft_cost: DraftCost,
        conversation_view: ConversationView,
        undo_stack: UndoStack,
        composer: Composer,
    ) -> None:
        self._surface = surface
        self._view = surface.view
        self._transcript = surface.transcript
        self._draft_cost = draft_cost
        self._conversation_view = conversation_view
        self._undo_stack = undo_stack
        self._composer = composer
        self._copied = (-1, 0, 0.0)
        """The message and the number of the code block that was copied last, and until when the
        same command copies the one before it."""

    def edit(self) -> None:
        """Put the message into the prompt; sending it creates a branch."""
        turn = self._transcript.turn_to_work_on("user")
        if turn is None or not self._view.can_change:
            return
        self._composer.edit(turn.message)
        self._surface.screen.set_focus(self._surface.prompt)
        self._surface.status.show(tr(EDITING), "busy")

    def edit_summary(self) -> None:
        """Put the summary of the turns that the model no longer sees into the prompt."""
        if (message := self.summarized) is None:
            return
        self._composer.edit_summary(message)
        self._surface.screen.set_focus(self._surface.prompt)
        self._surface.status.show(tr(EDITING_SUMMARY), "busy")

    @property
    def summarized(self) -> Message | None:
        """The message below the summary, if there is one that can be edited."""
        cut = self._transcript.cut
        turn = self._transcript.turn(cut.message_id) if cut is not None and cut.summary else None
        return turn.message if turn is not None and self._view.can_change else None

    def edit_last(self) -> None:
        self._transcript.select(None)
        self.edit()

    # --- branches -------------------------------------------------------------------------------

    async def show_neighbour_branch(self, step: int) -> None:
        """Show the branch ``step`` beside this one, at the selected or the last place where the
        conversation branches."""
        if not self._view.can_change:
            return
        selected = self._transcript.selected
        turns = [selected] if selected is not None else reversed(self._transcript.turns)
        branching = next((turn for turn in turns if turn.branch is not None), None)
        if branching is not None:
            await self.show_sibling(branching.message.id, step)

    async def show_sibling(self, message_id: int, step: int) -> None:
        """Show the branch of the message that is ``step`` beside ``message_id``."""
        if not self._view.can_change:
            return
        if await self._surface.chat.messages.show_sibling(message_id, step):
            self._composer.leave_edit()
            await self._conversation_view.reload()

    # --- unfolding, marks, pins -----------------------------------------------------------------

    def unfold(self) -> None:
        """Unfold the paste beside the cursor; else unfold or fold the selected message, or the last
        one that can be; else the summary above it."""
        if self._surface.prompt.has_focus and self._surface.prompt.unfold_paste():
            return
        if (foldable := self.foldable_turn) is not None:
            self.unfold_message(foldable.message.id)
        elif self.can_unfold_summary:
            self._transcript.unfold_summary()

    @property
    def can_unfold_summary(self) -> bool:
        """Whether there is a summary, and no message is selected or the one below it."""
        cut, selected = self._transcript.cut, self._transcript.selected
        if cut is None or not cut.summary:
            return False
        return selected is None or selected.message.id == cut.message_id

    @property
    def foldable_turn(self) -> Turn | None:
        """The selected turn, or the last one, that can be unfolded or folded."""
        selected = self._transcript.selected
        turns = [selected] if selected is not None else reversed(self._transcript.turns)
        return next((t for t in turns if t.message.reasoning or t.can_fold or t.unfolded), None)

    def unfold_message(self, message_id: int) -> None:
        """Unfold or fold a long question, or the reasoning of an answer."""
        turn = self._transcript.turn(message_id)
        if turn is not None:
            if turn.message.role == "user":
                turn.unfolded = not turn.unfolded
            else:
                turn.unfold_reasoning = not turn.unfold_reasoning
            self._transcript.redraw(turn)

    def _ended_answer(self) -> Turn | None:
        """The selected answer, or the last one, unless it is still being written."""
        turn = self._transcript.turn_to_work_on("assistant")
        has_ended = turn is not None and turn.message.role == "assistant" and not turn.growing
        return turn if has_ended else None

    async def mark(self, mark: Mark) -> None:
        """Mark the answer, or remove the mark if it has the same one."""
        if (turn := self._ended_answer()) is None:
            return
        new = None if turn.message.mark == mark else mark
        await self._surface.chat.messages.set_mark(turn.message.id, new)
        self._transcript.update_turn(turn, msgspec.structs.replace(turn.message, mark=new))

    async def pin(self) -> None:
        """Pin the turn, or unpin it."""
        turn = self._transcript.turn_to_work_on()
        if turn is None or turn.growing:
            return
        pinned = not turn.message.pinned
        for id in await self._surface.chat.messages.pin(turn.message, pinned):
            if (changed := self._transcript.turn(id)) is not None:
                message = msgspec.structs.replace(changed.message, pinned=pinned)
                self._transcript.update_turn(changed, message)
        self._draft_cost.count_soon()

    async def show_details(self) -> None:
        """Show how the answer was made."""
        if (turn := self._ended_answer()) is not None:
            await self.show_details_of(turn.message.id)

    async def show_details_of(self, message_id: int) -> None:
        """Show how the answer ``message_id`` was made."""
        from baize_tui.app.screens.answer_details import AnswerDetails

        turn = self._transcript.turn(message_id)
        message = await self._surface.chat.messages.get(message_id)
        if message.provenance is None and turn is not None:
            message = turn.message  # it could not be saved yet
        branch = turn.branch if turn is not None else None
        self._surface.screen.app.push_screen(AnswerDetails(message, branch))

    # --- copying --------------------------------------------------------------------------------

    def copy(self) -> None:
        turn = self._transcript.turn_to_work_on("assistant")
        if turn is not None:
            self._copy_text(turn.text)

    def copy_code(self) -> None:
        """Copy the last code block of the message; pressed again soon, the one before it."""
        turn = self._transcript.turn_to_work_on("assistant")
        if turn is None:
            return
        message_id, number, until = self._copied
        again = message_id == turn.message.id and time.monotonic() < until
        self.copy_block(turn.message.id, number - 1 if again else -1)

    def copy_block(self, message_id: int, number: int) -> None:
        """Copy a code block of a message, counted from 0; below that, from the last one."""
        from baize_tui.app.services.clipboard import code_blocks

        turn = self._transcript.turn(message_id)
        blocks = code_blocks(turn.markdown) if turn is not None else []
        if not blocks or number >= len(blocks):
            self._surface.screen.notify(tr(NO_CODE))
            return
        number %= len(blocks)
        self._copied = message_id, number, time.monotonic() + _COPY_AGAIN_S
        self._copy_text(blocks[number], (number + 1, len(blocks)))

    def has_code(self, turn: Turn) -> bool:
        """Whether the message has a code block."""
        from baize_tui.app.services.clipboard import code_blocks

        return bool(code_blocks(turn.markdown))

    def _copy_text(self, text: str, block: tuple[int, int] = (1, 1)) -> None:
        """Copy ``text``, which is a code block of several: the number of it, and how many."""
        from baize_tui.app.services.clipboard import copy_text

        screen = self._surface.screen
        notice = copy_text(screen.app, text, self._surface.state.paths.cache)
        number, count = block
        if count > 1:
            notice = tr(BLOCK, number=number, count=count, notice=notice)
        screen.notify(notice, markup=False)

    # --- viewing --------------------------------------------------------------------------------

    def view(self) -> None:
        """Open the message in the person's pager, as Markdown."""
        from baize_tui.app.services.external_editor import EditorFailed, view_text, viewer_command

        surface, turn = self._surface, self._transcript.turn_to_work_on("assistant")
        if turn is None:
            return
        try:
            with surface.screen.app.suspend():
                view_text(turn.text, surface.state.exit_watch)
        except (OSError, SuspendNotSupported) as error:
            surface.status.show(
                tr("{program} cannot be started: {error}", program=viewer_command(), error=error),
                "problem",
            )
        except EditorFailed as error:
            surface.status.show(str(error), "problem")

    # --- deleting -------------------------------------------------------------------------------

    async def delete(self) -> None:
        """Delete the message and everything below it."""
        turn = self._transcript.turn_to_work_on()
        if turn is None or not self._view.can_change:
            return
        messages, message_id = self._surface.chat.messages, turn.message.id
        await messages.delete(message_id)

        async def undo() -> None:
            await self._conversation_view.open(await messages.undelete(message_id))

        self._undo_stack.push(undo)
        self._composer.leave_edit()
        await self._conversation_view.reload()
        key = self._surface.state.keys["undo"]
        self._surface.status.show(tr(DELETED, key=key))
