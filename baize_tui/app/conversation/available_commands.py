"""Which commands would do something now: the palette lists no others."""

from __future__ import annotations

from baize_tui.app.actions import Action
from baize_tui.app.conversation.asking import Asking
from baize_tui.app.conversation.composer import Composer
from baize_tui.app.conversation.message_commands import MessageCommands
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.undo import UndoStack


class AvailableCommands:
    """Looks at the open conversation; commands without a condition are always available."""

    def __init__(
        self,
        surface: Surface,
        asking: Asking,
        messages: MessageCommands,
        composer: Composer,
        undo_stack: UndoStack,
    ) -> None:
        self._surface = surface
        self._view = surface.view
        self._transcript = surface.transcript
        self._asking = asking
        self._messages = messages
        self._composer = composer
        self._undo_stack = undo_stack

    def actions(self) -> list[Action]:
        """The actions that would do something, in the order of the table."""
        conditions = {
            "palette": False,  # it is open
            **self._conditions_of_asking(),
            **self._conditions_of_messages(),
            **self._conditions_of_terminal(),
        }
        return [action for action in self._surface.state.actions if conditions.get(action.id, True)]

    def _conditions_of_asking(self) -> dict[str, bool]:
        drafts, has_turns = self._composer.shown, bool(self._transcript.turns)
        can_start = self._asking.has_model and not self._view.is_answering
        is_open = self._view.open_id is not None
        has_listed = self._surface.conversation_list.highlighted_id is not None
        return {
            "stop": self._view.is_answering or drafts.top is not drafts.draft,
            "again": can_start and has_turns,
            "go_on": can_start and has_turns,
            "compare": can_start,
            "title": can_start and is_open,
            "rename": is_open or has_listed,
            "export": is_open or has_listed,
            "pin_conversation": is_open or has_listed,
            "tags": is_open or has_listed,
            "archive": is_open or has_listed,
            "map": is_open and has_turns,
            "later": drafts.recalled >= 0,
            "take_back": bool(drafts.queue),
            "remove": bool(drafts.queue),
            "undo": bool(self._undo_stack),
        }

    def _conditions_of_messages(self) -> dict[str, bool]:
        turns, selected = self._transcript.turns, self._transcript.selected
        turn = self._transcript.turn_to_work_on()
        answer = self._transcript.turn_to_work_on("assistant")
        question = self._transcript.turn_to_work_on("user")
        branching = [turn for turn in turns if turn.branch is not None]
        can_change = self._view.can_change
        has_ended = answer is not None and answer.message.role == "assistant" and not answer.growing
        return {
            "previous": bool(turns),
            "next": selected is not None,
            "start": bool(turns),
            "end": bool(turns),
            "edit": can_change and question is not None,
            "summary": self._messages.summarized is not None,
            "branch_back": can_change and bool(branching),
            "branch_on": can_change and bool(branching),
            "copy": answer is not None,
            "copy_code": answer is not None and self._messages.has_code(answer),
            "delete": can_change and bool(turns),
            "good": has_ended,
            "bad": has_ended,
            "details": has_ended,
            "tokens": has_ended and not self._surface.chat.engine_in_use,
            "replay": has_ended and not self._surface.chat.engine_in_use,
            "pin": turn is not None and not turn.growing,
            "find": bool(turns),
            "unfold": self._surface.prompt.is_beside_paste
            or self._messages.foldable_turn is not None
            or self._messages.can_unfold_summary,
        }

    def _conditions_of_terminal(self) -> dict[str, bool]:
        driver = self._surface.screen.app._driver
        can_suspend = driver is not None and driver.can_suspend
        can_view = can_suspend and self._transcript.turn_to_work_on("assistant") is not None
        return {"editor": can_suspend, "view": can_view, "suspend": can_suspend}
