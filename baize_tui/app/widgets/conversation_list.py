"""The conversations at the left: by day, the last used first, found by typing."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from textual import events
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from baize_tui.app.widgets.fuzzy import best_matches
from baize_tui.store.records import Conversation


def day_name(seconds: float, today: datetime.date) -> str:
    """The group a conversation of this time stands in: Today, Yesterday, This week, a month."""
    day = datetime.datetime.fromtimestamp(seconds).date()
    age = (today - day).days
    if age <= 0:
        return "Today"
    if age == 1:
        return "Yesterday"
    if age < 7:
        return "This week"
    return day.strftime("%B %Y")


class ConversationList(OptionList):
    """One row a conversation; choosing one posts ``OptionSelected`` with its id."""

    class Deleted(Message):
        """The person pressed Delete twice on a conversation."""

        def __init__(self, conversation_id: str) -> None:
            super().__init__()
            self.conversation_id = conversation_id

    class DeleteAsked(Message):
        """The person pressed Delete once."""

        def __init__(self, title: str) -> None:
            super().__init__()
            self.title = title

    def __init__(self) -> None:
        super().__init__(id="conversations", compact=True, markup=False)
        self._conversations: list[Conversation] = []
        self._open_id: str | None = None
        self._busy: set[str] = set()
        self._shown: list[tuple[str | None, str]] = []
        self._wanted = ""
        self._delete_asked: str | None = None

    def show(
        self, conversations: Sequence[Conversation], open_id: str | None, busy: set[str]
    ) -> None:
        """Show the list; a dot marks those whose answer is on its way."""
        self._conversations = list(conversations)
        self._open_id, self._busy = open_id, set(busy)
        self._fill()

    def title_of(self, conversation_id: str) -> str:
        """The title of a conversation in the list; empty where it is not in it."""
        return next((c.title for c in self._conversations if c.id == conversation_id), "")

    @property
    def chosen_id(self) -> str | None:
        """The conversation the cursor is on."""
        option = self.highlighted_option
        return option.id if option is not None else None

    def _fill(self) -> None:
        rows = self._found() if self._wanted else self._by_day()
        if not any(id is not None for id, _ in rows):
            rows.append((None, "nothing found" if self._wanted else "No conversations yet"))
        if rows != self._shown:
            kept = self.chosen_id
            self._shown = rows
            self.clear_options()
            self.add_options(Option(text, id=id, disabled=id is None) for id, text in rows)
            self._highlight(kept)
        if not self.has_focus:
            self._highlight(self._open_id)
        elif self.highlighted is None:
            self.action_first()

    def _row(self, conversation: Conversation) -> tuple[str, str]:
        mark = "● " if conversation.id in self._busy else ""
        return conversation.id, f"{mark}{conversation.title}"

    def _by_day(self) -> list[tuple[str | None, str]]:
        rows: list[tuple[str | None, str]] = []
        today = datetime.datetime.now().date()
        group = ""
        for conversation in self._conversations:
            name = day_name(conversation.updated_at, today)
            if name != group:
                group = name
                rows.append((None, name))
            rows.append(self._row(conversation))
        return rows

    def _found(self) -> list[tuple[str | None, str]]:
        found = best_matches(self._wanted, self._conversations, lambda c: c.title)
        return [(None, f"find: {self._wanted}"), *map(self._row, found)]

    def _highlight(self, conversation_id: str | None) -> None:
        for index, (id, _) in enumerate(self._shown):
            if id is not None and id == conversation_id:
                self.highlighted = index
                return
        self.highlighted = None

    def on_focus(self) -> None:
        if self.highlighted is None:
            self.action_first()

    def on_blur(self) -> None:
        self._wanted = ""
        self._delete_asked = None
        self._fill()

    async def _on_key(self, event: events.Key) -> None:
        asked, self._delete_asked = self._delete_asked, None
        option = self.highlighted_option
        if event.key == "delete" and option is not None and option.id is not None:
            if asked == option.id:
                self.post_message(self.Deleted(option.id))
            else:
                self._delete_asked = option.id
                self.post_message(self.DeleteAsked(str(option.prompt)))
        elif event.key == "backspace" and self._wanted:
            self._find(self._wanted[:-1])
        elif event.is_printable and event.character is not None:
            self._find(self._wanted + event.character)
        else:
            return
        event.stop()
        event.prevent_default()

    def _find(self, wanted: str) -> None:
        self._wanted = wanted
        self._fill()
        self.action_first()
