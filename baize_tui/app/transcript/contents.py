"""The turns of a conversation, and the client's own notes between them, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from baize_tui.app.transcript.cut import Cut, cut_text
from baize_tui.app.transcript.turn import Entry, Note, NoteKind, Turn
from baize_tui.app.transcript.welcome import Welcome, WelcomeContents
from baize_tui.store.records import Message


class Contents:
    """What a transcript shows, from top to bottom, without lines and heights."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """``keys`` has the names of the keys of actions, for notes that mention one."""
        self._keys = dict(keys)
        self.entries: list[Entry] = []
        self._json_questions: set[int | None] = set()
        """Numbers of the questions that have asked for JSON."""
        self.unfold_reasoning = False
        """Whether the reasoning of new turns is shown open."""

    @property
    def turns(self) -> list[Turn]:
        return [entry for entry in self.entries if isinstance(entry, Turn)]

    @property
    def notes(self) -> list[str]:
        """The texts of the notes, from top to bottom."""
        return [entry.text for entry in self.entries if isinstance(entry, Note)]

    @property
    def cut(self) -> Cut | None:
        """The line above the first message that the model still sees, if older ones were dropped
        and it is shown."""
        return next((entry for entry in self.entries if isinstance(entry, Cut)), None)

    def turn(self, message_id: int) -> Turn | None:
        return next((turn for turn in self.turns if turn.message.id == message_id), None)

    def show(self, messages: Sequence[Message], head: str, context_start: int | None) -> None:
        """Replace everything by ``messages`` under a ``head``; see ``mark_context_start``."""
        self.entries = [Note(text=head, kind="head")] if head else []
        self.entries += [self._new_turn(message) for message in messages]
        self.mark_context_start(context_start)

    def show_welcome(self, contents: WelcomeContents) -> None:
        self.entries = [Welcome(contents=contents)]

    def insert_earlier(self, messages: Sequence[Message], context_start: int | None) -> list[Turn]:
        """Insert the messages that precede the first turn; returns their turns."""
        at = next((i for i, entry in enumerate(self.entries) if isinstance(entry, Turn)), 0)
        added = [self._new_turn(message) for message in messages]
        self.entries[at:at] = added
        self.mark_context_start(context_start)
        return added

    def can_continue(self, messages: Sequence[Message]) -> bool:
        """Whether ``messages``, the end of a branch, begin at a turn or below one."""
        if not messages or messages[0].parent_id is None:
            return True
        shown = {turn.message.id for turn in self.turns}
        return bool(shown & {messages[0].id, messages[0].parent_id})

    def show_end(
        self, messages: Sequence[Message], context_start: int | None
    ) -> tuple[list[Turn], bool]:
        """Show ``messages`` in place of the turns from the first one on, if ``can_continue``.

        Returns the turns with another message than before, and whether the turns are others.
        """
        before = self.turns
        kept = _turns_above(before, messages)
        shown = {turn.message.id: turn for turn in before}
        changed: list[Turn] = []
        for message in messages:
            turn = shown.get(message.id)
            if turn is None:
                turn = self._new_turn(message)
            elif _seen(turn.message) != _seen(message):
                turn.message, turn.growing = message, message.state == "streaming"
                changed.append(turn)
            kept.append(turn)
        are_others = [*map(id, kept)] != [*map(id, before)]
        if are_others:
            head = [e for e in self.entries if isinstance(e, Note) and e.kind == "head"]
            self.entries = [*head, *kept]
        self.mark_context_start(context_start)
        return changed, are_others

    def add(self, message: Message) -> Turn:
        """Append a turn; this removes the welcome and notes about problems."""
        self.entries = [entry for entry in self.entries if not isinstance(entry, Welcome)]
        self._remove_notes("problem")
        turn = self._new_turn(message)
        self.entries.append(turn)
        return turn

    def add_problem(self, text: str) -> None:
        """Append a note; asking again with the same problem does not repeat it."""
        self.entries = [
            entry
            for entry in self.entries
            if not (isinstance(entry, Note) and (entry.kind, entry.text) == ("problem", text))
        ]
        self.entries.append(Note(text=text, kind="problem"))

    def remove_problems(self) -> bool:
        """Remove the notes about problems; False if there are none."""
        before = len(self.entries)
        self._remove_notes("problem")
        return len(self.entries) != before

    def set_head(self, head: str) -> None:
        """Change the note above the first turn; an empty ``head`` removes it."""
        self._remove_notes("head")
        if head:
            self.entries.insert(0, Note(text=head, kind="head"))

    def mark_context_start(self, message_id: int | None) -> None:
        """Put a note above the message from which on the model sees the conversation: the last one
        that is ``message_id`` or has a summary, as in ``chat.context``."""
        before = self.cut
        self._remove_notes("cut")
        starts = [
            place
            for place, entry in enumerate(self.entries)
            if isinstance(entry, Turn) and (entry.message.id == message_id or entry.message.summary)
        ]
        if starts:
            self.entries.insert(starts[-1], self._cut_at(starts[-1], before))

    def _cut_at(self, place: int, before: Cut | None) -> Cut:
        """The note above the turn at ``place``; the one ``before`` if it is the same."""
        turn = self.entries[place]
        assert isinstance(turn, Turn)
        message, above = turn.message, self.entries[:place]
        pinned = any(isinstance(entry, Turn) and entry.message.pinned for entry in above)
        text = cut_text(pinned=pinned, summarized=bool(message.summary))
        if before is not None and before.message_id != message.id:
            before = None
        if before is not None and (before.text, before.summary) == (text, message.summary):
            return before
        return Cut(
            text=text,
            kind="cut",
            message_id=message.id,
            summary=message.summary,
            edit_key=self._keys.get("summary", ""),
            unfolded=before is not None and before.unfolded,
        )

    def remove_from(self, message_id: int) -> None:
        """Remove the turn of ``message_id`` and everything below it."""
        at = next(
            (
                place
                for place, entry in enumerate(self.entries)
                if isinstance(entry, Turn) and entry.message.id >= message_id
            ),
            len(self.entries),
        )
        del self.entries[at:]

    def _new_turn(self, message: Message) -> Turn:
        if message.form is not None and message.form.is_json:
            self._json_questions.add(message.id)
        return Turn(
            message=message,
            is_json=message.parent_id in self._json_questions,
            growing=message.state == "streaming",
            unfold_reasoning=self.unfold_reasoning,
            keys=self._keys,
        )

    def _remove_notes(self, *kinds: NoteKind) -> None:
        self.entries = [
            entry for entry in self.entries if not (isinstance(entry, Note) and entry.kind in kinds)
        ]


def _turns_above(turns: Sequence[Turn], messages: Sequence[Message]) -> list[Turn]:
    """The turns that stay above ``messages``."""
    if not messages or messages[0].parent_id is None:
        return []
    first = messages[0]
    above: list[Turn] = []
    for turn in turns:
        if turn.message.id == first.id:
            break
        above.append(turn)
        if turn.message.id == first.parent_id:
            break
    return above


def _seen(message: Message) -> tuple[object, ...]:
    """What the look of a turn depends on."""
    return (
        message.text,
        message.reasoning,
        message.state,
        message.mark,
        message.pinned,
        message.made,
        message.summary,
        message.attachments,
        message.form,
    )
