"""The list of conversations at the left: by day, the latest first, searched by typing."""

from __future__ import annotations

import datetime
from collections.abc import Sequence, Set

from textual import events
from textual.message import Message
from textual.widgets.option_list import Option

from baize_tui.app.widgets.choice_lists import ChoiceList
from baize_tui.app.widgets.fuzzy import best_matches
from baize_tui.store.records import Conversation

TODAY, YESTERDAY, THIS_WEEK = "Today", "Yesterday", "This week"
SEARCH = "search"
NO_MATCH, EMPTY = "no match", "No conversations yet"
BUSY, UNSENT = "●", "✎"
"""Marks of a conversation that is being answered, and of another than the open one with words that
are not sent."""


def group_name(seconds: float, today: datetime.date) -> str:
    """The group of a conversation last used at this time (UTC): a day, this week or a month."""
    day = datetime.datetime.fromtimestamp(seconds).date()
    age = (today - day).days
    if age <= 0:
        return TODAY
    if age == 1:
        return YESTERDAY
    if age < 7:
        return THIS_WEEK
    return day.strftime("%B %Y")


class ConversationList(ChoiceList):
    """One row for each conversation; Enter posts ``OptionSelected`` with its id."""

    class DeleteConfirmed(Message):
        """The person pressed Delete twice on a conversation."""

        def __init__(self, conversation_id: str) -> None:
            super().__init__()
            self.conversation_id = conversation_id

    class DeletePressed(Message):
        """The person pressed Delete once."""

        def __init__(self, title: str) -> None:
            super().__init__()
            self.title = title

    def __init__(self) -> None:
        super().__init__(id="conversations", compact=True, markup=False)
        self._conversations: list[Conversation] = []
        self._open_id: str | None = None
        self._busy: set[str] = set()
        self._unsent: set[str] = set()
        self._rows: list[tuple[str | None, str]] = []
        self._query = ""
        self._delete_pressed: str | None = None

    def show(
        self,
        conversations: Sequence[Conversation],
        open_id: str | None,
        busy: Set[str],
        unsent: Set[str] = frozenset(),
    ) -> None:
        """Show the list, with marks for those in ``busy``, which are being answered, and those in
        ``unsent``, which have a draft or queued messages."""
        self._conversations = list(conversations)
        self._open_id, self._busy, self._unsent = open_id, set(busy), set(unsent)
        self._fill()

    def title(self, conversation_id: str) -> str:
        """The title of a conversation; empty if it is not in the list."""
        return next((c.title for c in self._conversations if c.id == conversation_id), "")

    @property
    def query_text(self) -> str:
        """What the person has typed to search the titles."""
        return self._query

    @property
    def highlighted_id(self) -> str | None:
        """The conversation the cursor is on."""
        option = self.highlighted_option
        return option.id if option is not None else None

    def _fill(self) -> None:
        rows = self._matches() if self._query else self._by_day()
        if not any(id is not None for id, _ in rows):
            rows.append((None, NO_MATCH if self._query else EMPTY))
        if rows != self._rows:
            before = self.highlighted_id
            self._rows = rows
            self.clear_options()
            self.add_options(Option(text, id=id, disabled=id is None) for id, text in rows)
            self._highlight(before)
        if not self.has_focus:
            self._highlight(self._open_id)
        elif self.highlighted is None:
            self.action_first()

    def _row(self, conversation: Conversation) -> tuple[str, str]:
        marks = BUSY if conversation.id in self._busy else ""
        is_open = conversation.id == self._open_id  # its words are in sight
        marks += UNSENT if conversation.id in self._unsent and not is_open else ""
        return conversation.id, f"{marks} {conversation.title}".lstrip()

    def _by_day(self) -> list[tuple[str | None, str]]:
        rows: list[tuple[str | None, str]] = []
        today = datetime.datetime.now().date()
        group = ""
        for conversation in self._conversations:
            name = group_name(conversation.updated_at, today)
            if name != group:
                group = name
                rows.append((None, name))
            rows.append(self._row(conversation))
        return rows

    def _matches(self) -> list[tuple[str | None, str]]:
        matches = best_matches(self._query, self._conversations, lambda c: c.title)
        return [(None, f"{SEARCH}: {self._query}"), *map(self._row, matches)]

    def _highlight(self, conversation_id: str | None) -> None:
        for index, (id, _) in enumerate(self._rows):
            if id is not None and id == conversation_id:
                self.highlighted = index
                return
        self.highlighted = None

    def on_focus(self) -> None:
        if self.highlighted is None:
            self.action_first()

    def on_blur(self) -> None:
        self._query = ""
        self._delete_pressed = None
        self._fill()

    async def _on_key(self, event: events.Key) -> None:
        pressed_on, self._delete_pressed = self._delete_pressed, None
        option = self.highlighted_option
        if event.key == "delete" and option is not None and option.id is not None:
            if pressed_on == option.id:
                self.post_message(self.DeleteConfirmed(option.id))
            else:
                self._delete_pressed = option.id
                self.post_message(self.DeletePressed(self.title(option.id)))
        elif event.key == "backspace" and self._query:
            self._search(self._query[:-1])
        elif event.is_printable and event.character is not None:
            self._search(self._query + event.character)
        else:
            return
        event.stop()
        event.prevent_default()

    def _search(self, query: str) -> None:
        self._query = query
        self._fill()
        self.action_first()
