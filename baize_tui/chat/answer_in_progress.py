"""An answer while it streams: its text, its ids and its journal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from baize_tui.chat.journal import Journal
from baize_tui.engine import protocol
from baize_tui.store.records import AnswerContent, Message


class _State(NamedTuple):
    text: str
    reasoning: str
    ids: list[int]
    """Grows while more is generated; only the first ``id_count`` belong to this state."""
    id_count: int
    tokenizer: str | None


class AnswerInProgress:
    """What was generated so far; ``write`` saves it in the background."""

    def __init__(
        self,
        message: Message,
        tokenizer: str,
        write: Callable[[AnswerContent], Awaitable[None]],
    ) -> None:
        self.message = message
        """As the answer started; a continued one has text already."""
        self.ended = False
        """Whether saving its final text has begun."""
        self.why_unsaved = ""
        """Why its final text could not be written at first; empty if it could."""
        self._tokenizer = tokenizer
        self._text, self._reasoning = "", ""
        self._ids: list[int] = []
        # The engine sends a continued answer from its start; until then the old text stays.
        ids = message.ids or []
        self._state = _State(message.text, message.reasoning, ids, len(ids), message.tokenizer)

        async def write_content() -> None:
            await write(self.content)

        self.journal = Journal(write_content)

    @property
    def text(self) -> str:
        return self._state.text

    @property
    def reasoning(self) -> str:
        return self._state.reasoning

    @property
    def tokens(self) -> int:
        """How many tokens there are so far."""
        return len(self._ids)

    @property
    def content(self) -> AnswerContent:
        """What was generated so far; safe to read from any thread while more is added."""
        state = self._state
        ids = state.ids[: state.id_count]
        return AnswerContent(self.message.id, state.text, state.reasoning, ids, state.tokenizer)

    def add(self, event: protocol.Delta) -> None:
        """Add what the engine generated since the last event."""
        self._ids.extend(event.ids)
        if event.answer_was_thought:
            self._reasoning, self._text = self._reasoning + self._text, ""
        self._reasoning += event.reasoning
        self._text += event.text
        self._update()
        self.journal.note_change()

    def replace(self, event: protocol.Finished) -> None:
        """Put the whole answer in place of what was added."""
        self._ids = list(event.ids)
        self._text, self._reasoning = event.text, event.reasoning
        self._update()

    def _update(self) -> None:
        # One assignment, and the list only grows: other threads read a consistent state.
        # A continued answer keeps its thought, also where its new prompt has no room for one.
        reasoning = self._reasoning.strip() or self.message.reasoning
        self._state = _State(self._text, reasoning, self._ids, len(self._ids), self._tokenizer)
