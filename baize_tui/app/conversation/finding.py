"""Finding words in the open conversation, and opening what was found in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from baize_tui.app.conversation.composer import Composer
from baize_tui.app.conversation.conversation_view import ConversationView
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.transcript.turn import Turn
from baize_tui.app.widgets.find_bar import FindBar
from baize_tui.store.records import Message, Place
from baize_tui.store.words import Term, match_terms, word_line
from baize_tui.translation import msg, tr

if TYPE_CHECKING:
    from baize_tui.app.screens.search import FoundText

NOT_FOUND = msg("not found")
OTHER_BRANCH = msg("The message is on another branch. Search again once the answer has ended.")


class _Lines(NamedTuple):
    """The words of a message, which are looked through with each key that is typed."""

    message: Message
    thought: str
    text: str


class _Counts(NamedTuple):
    """How often a message has what is searched."""

    message: Message
    in_thought: int
    in_text: int

    @property
    def total(self) -> int:
        return self.in_thought + self.in_text


class Finding:
    """Walks through the matches in all turns of the open conversation, also in folded parts."""

    def __init__(
        self, surface: Surface, conversation_view: ConversationView, composer: Composer
    ) -> None:
        self._surface = surface
        self._transcript = surface.transcript
        self._conversation_view = conversation_view
        self._composer = composer
        self.bar = FindBar()
        self._terms: tuple[Term, ...] = ()
        self._lines: dict[int, _Lines] = {}
        self._counts: dict[int, _Counts] = {}
        self._at: tuple[int, int] | None = None
        """The message of the match in sight, and its place among the matches of that."""
        self._open_id: str | None = None
        """The conversation in which it finds."""
        self._awaited: tuple[int, Place] | None = None
        """The message to go to once it is shown, and the part of it."""
        conversation_view.on_shown = self._conversation_shown

    # --- beginning and ending -------------------------------------------------------------------

    def begin(self) -> None:
        """Ask what to find; again: ask for something else."""
        if self._transcript.turns:
            self._open_id = self._surface.view.open_id
            self.bar.begin()

    def end(self) -> None:
        """Remove the highlights, and go back to the prompt; what is in sight stays."""
        self._awaited, self._at = None, None
        self._lines.clear()
        self._set_terms(())
        if self.bar.is_open:
            self.bar.end()
            self._surface.focus_prompt()

    def change(self, text: str) -> None:
        """Find ``text`` from what is in sight on; its last word may go on."""
        term = Term.of(text, prefix=True)
        self._set_terms((term,) if term is not None else ())
        first = self._transcript.first_in_sight
        turns = self._transcript.turns
        start = turns.index(first) if first in turns else 0
        found = [turn for turn in (*turns[start:], *turns[:start]) if self._count(turn).total]
        if found:
            self._go_to(found[0], 0)
        else:
            self._at = None
            self.bar.show_count(tr(NOT_FOUND) if self._terms else "")

    def _set_terms(self, terms: tuple[Term, ...]) -> None:
        self._terms = terms
        self._counts.clear()
        self._transcript.show_terms(terms)

    # --- what was found in all conversations ----------------------------------------------------

    async def search_all(self) -> None:
        """Ask what to search in all conversations, and open it."""
        from baize_tui.app.screens.search import SearchScreen

        surface = self._surface
        text = surface.conversation_list.query_text if surface.conversation_list.has_focus else ""
        found = await surface.screen.app.push_screen_wait(SearchScreen(surface.chat.search, text))
        if found is not None:
            await self._open(found)

    async def _open(self, found: FoundText) -> None:
        """Open the conversation, on a branch with the message, and go to the match.

        Raises:
            StoreError: it cannot be read.
        """
        chat, result = self._surface.chat, found.result
        self.end()
        if result.message_id is not None and result.conversation_id not in chat.busy:
            conversation = await chat.messages.show(result.message_id)
        else:  # an answer that grows keeps its branch
            conversation = await chat.conversations.get(result.conversation_id)
        if conversation.id == self._surface.view.open_id:
            self._composer.leave_edit()
        if result.message_id is not None:
            self._set_terms(found.terms)
            self._open_id = conversation.id
            self._awaited = result.message_id, result.place
        await self._conversation_view.open(conversation)
        if self._terms:
            self.bar.begin(" ".join(word for term in found.terms for word in term.words))
        else:
            self._surface.focus_prompt()

    async def go_to_message(self, message_id: int) -> None:
        """Show the open conversation as it is stored, and select a message of the shown branch.

        Raises:
            StoreError: it cannot be read.
        """
        self.end()
        self._open_id = self._surface.view.open_id
        self._awaited = message_id, "answer"
        await self._conversation_view.reload()

    def _conversation_shown(self, complete: bool) -> None:
        """Go to the awaited message once it is there; another conversation ends the search."""
        if self._open_id is not None and self._surface.view.open_id != self._open_id:
            self._open_id = None
            self.end()
        if self._awaited is None:
            return
        message_id, place = self._awaited
        turn = self._transcript.turn(message_id)
        if turn is not None:
            self._awaited = None
            if self._count(turn).total:
                self._go_to(turn, 0 if place == "thought" else self._count(turn).in_thought)
            else:
                self._transcript.select(turn)
        elif complete:
            self._awaited = None
            self._surface.screen.notify(tr(OTHER_BRANCH))

    # --- walking --------------------------------------------------------------------------------

    def step(self, step: int) -> None:
        """Go to the next match, or with -1 to the one before; after the last comes the first."""
        counted = [(turn, self._count(turn).total) for turn in self._transcript.turns]
        matches = [(turn, place) for turn, total in counted for place in range(total)]
        if not matches:
            return
        places = [(turn.message.id, place) for turn, place in matches]
        at = places.index(self._at) + step if self._at in places else min(step, 0)
        self._go_to(*matches[at % len(matches)])

    def _go_to(self, turn: Turn, place: int) -> None:
        """Go to a match of ``turn``, counted from 0 in the thought and then in the text."""
        counts = self._count(turn)
        if place < counts.in_thought and not turn.unfold_reasoning:
            turn.unfold_reasoning = True
            self._transcript.redraw(turn)
        elif turn.is_folded:
            turn.unfolded = True
            self._transcript.redraw(turn)
        self._at = turn.message.id, place
        is_thought_shown = turn.unfold_reasoning
        self._transcript.show_match(turn, place - (0 if is_thought_shown else counts.in_thought))
        self._show_count()

    def _show_count(self) -> None:
        turns = self._transcript.turns
        total = sum(self._count(turn).total for turn in turns)
        if self._at is None:
            return
        message_id, place = self._at
        above = sum(self._count(turn).total for turn in turns if turn.message.id < message_id)
        self.bar.show_count(tr("{done} of {total}", done=above + place + 1, total=total))

    def _count(self, turn: Turn) -> _Counts:
        """How often ``turn`` has what is searched; counted once, until its message changes."""
        message = turn.message
        known = self._counts.get(message.id)
        if known is None or known.message is not message:
            lines = self._lines.get(message.id)
            if lines is None or lines.message is not message:
                lines = _Lines(message, word_line(message.reasoning), word_line(message.text))
                self._lines[message.id] = lines
            known = self._counts[message.id] = _Counts(
                message, _times(lines.thought, self._terms), _times(lines.text, self._terms)
            )
        return known


def _times(line: str, terms: Sequence[Term]) -> int:
    """How often ``terms`` are in a ``word_line``."""
    if not any(term.pattern in line for term in terms):
        return 0
    return len(match_terms(line.split(), terms))
