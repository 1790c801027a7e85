"""Working on messages: choose, edit, walk branches, copy, mark, pin, unfold, delete, undo."""

from __future__ import annotations

import msgspec

from baize_tui.app.live_answers import LiveAnswers
from baize_tui.app.transcript import Transcript
from baize_tui.app.turn import Turn
from baize_tui.store.records import Mark, Message


class MessageActions(LiveAnswers):
    """The actions that work on the chosen message, or the last one."""

    _editing: Message | None = None

    def action_previous(self) -> None:
        self.transcript.choose_beside(-1)

    def action_next(self) -> None:
        self.transcript.choose_beside(1)

    def action_start(self) -> None:
        self.transcript.to_start()

    def action_end(self) -> None:
        self.transcript.follow()

    def on_transcript_chosen(self, event: Transcript.Chosen) -> None:
        self.transcript.choose(None if event.turn.chosen else event.turn)
        self.set_focus(self.prompt)

    def _turn_to_work_on(self, role: str | None = None) -> Turn | None:
        """The chosen turn, or the last one (of ``role``)."""
        chosen = self.transcript.chosen
        if chosen is not None:
            return chosen
        turns = reversed(self.transcript.turns)
        return next((turn for turn in turns if role in (None, turn.message.role)), None)

    def action_edit(self) -> None:
        turn = self._turn_to_work_on("user")
        if turn is None or not self._idle_here():
            return
        self._editing = turn.message
        self.prompt.put(turn.message.text)
        self.set_focus(self.prompt)
        self.status.show("editing · enter makes a branch of it · esc gives up", "busy")

    def on_prompt_edit_last(self) -> None:
        self.transcript.choose(None)
        self.action_edit()

    async def action_branch_back(self) -> None:
        await self._walk_branches(-1)

    async def action_branch_on(self) -> None:
        await self._walk_branches(1)

    async def action_walk(self, message_id: int, step: int) -> None:
        """The arrows beside a turn were clicked."""
        if self._idle_here():
            await self._walk(message_id, step)

    async def _walk_branches(self, step: int) -> None:
        if not self._idle_here():
            return
        chosen = self.transcript.chosen
        turns = [chosen] if chosen is not None else reversed(self.transcript.turns)
        branching = next((turn for turn in turns if turn.branch is not None), None)
        if branching is not None:
            await self._walk(branching.message.id, step)

    async def _walk(self, message_id: int, step: int) -> None:
        assert self._conversation is not None
        if await self._chat.messages.show_sibling(message_id, step):
            await self._reload()

    def action_unfold(self) -> None:
        turn = self._turn_to_work_on()
        turns = [turn] if turn is not None and turn.chosen else reversed(self.transcript.turns)
        foldable = (t for t in turns if t.message.reasoning or t.lies_folded or t.unfolded)
        if (found := next(foldable, None)) is not None:
            self.action_unfold_of(found.message.id)

    def action_unfold_of(self, message_id: int) -> None:
        """The line of a folded part was clicked."""
        turn = self.transcript.turn_of(message_id)
        if turn is not None:
            if turn.message.role == "user":
                turn.unfolded = not turn.unfolded
            else:
                turn.unfold_reasoning = not turn.unfold_reasoning
            self.transcript.redraw(turn)

    async def action_good(self) -> None:
        await self._mark("good")

    async def action_bad(self) -> None:
        await self._mark("bad")

    async def _mark(self, mark: Mark) -> None:
        turn = self._turn_to_work_on("assistant")
        if turn is None or turn.message.role != "assistant" or turn.growing:
            return
        wanted = None if turn.message.mark == mark else mark
        await self._chat.messages.set_mark(turn.message.id, wanted)
        self.transcript.update_turn(turn, msgspec.structs.replace(turn.message, mark=wanted))

    async def action_pin(self) -> None:
        turn = self._turn_to_work_on()
        if turn is None or turn.growing:
            return
        pinned = not turn.message.pinned
        for id in await self._chat.messages.pin(turn.message, pinned):
            if (shown := self.transcript.turn_of(id)) is not None:
                changed = msgspec.structs.replace(shown.message, pinned=pinned)
                self.transcript.update_turn(shown, changed)
        self._count_soon()

    def action_copy(self) -> None:
        turn = self._turn_to_work_on("assistant")
        if turn is not None:
            self._copy(turn.text)

    def action_copy_code(self) -> None:
        turn = self._turn_to_work_on("assistant")
        if turn is not None:
            self.action_copy_block(turn.message.id, -1)

    def action_copy_block(self, message_id: int, number: int) -> None:
        """Copy a code block of a message, counted from 0; -1 is the last."""
        from baize_tui.app.clipboard import code_blocks

        turn = self.transcript.turn_of(message_id)
        blocks = code_blocks(turn.text) if turn is not None else []
        if not blocks or number >= len(blocks):
            self.notify("There is no code block in this message.")
        else:
            self._copy(blocks[number])

    def _copy(self, text: str) -> None:
        from baize_tui.app.clipboard import copy_to_file, system_copy

        self.app.copy_to_clipboard(text)
        said = f"{len(text)} characters are copied"
        if not system_copy(text):
            # The terminal may not take OSC 52, and does not tell.
            try:
                said += f"; also in {copy_to_file(text, self.app.paths.cache)}"
            except OSError as error:
                said += f" (no file: {error.strerror})"
        self.notify(said, markup=False)

    async def action_delete(self) -> None:
        turn = self._turn_to_work_on()
        if turn is None or self._conversation is None or not self._idle_here():
            return
        message_id = turn.message.id
        await self._chat.messages.delete(message_id)
        await self._reload()

        async def undo() -> None:
            await self._show_conversation(await self._chat.messages.undelete(message_id))

        self._undo.append(undo)
        self.notify(f"Deleted. {self._keys['undo']} brings it back.")

    async def action_undo(self) -> None:
        if self._undo:
            await self._undo.pop()()
        else:
            self.notify("There is nothing to undo.")
