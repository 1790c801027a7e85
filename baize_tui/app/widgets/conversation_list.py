"""The list of conversations at the left: by day, the latest first, searched by typing."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Sequence, Set
from itertools import islice
from typing import NamedTuple

from textual import events, on
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from baize_tui.app.widgets.ages import age_text
from baize_tui.app.widgets.choice_lists import ChoiceList
from baize_tui.app.widgets.fuzzy import best_matches
from baize_tui.app.widgets.list_row import ListRow
from baize_tui.store.records import ListedConversation
from baize_tui.store.tags import tag_key
from baize_tui.translation import msg, tr

PINNED, TODAY, YESTERDAY, THIS_WEEK = (
    msg("Pinned"),
    msg("Today"),
    msg("Yesterday"),
    msg("This week"),
)
ARCHIVED = msg("Archived")
SEARCH = msg("search")
NO_MATCH, EMPTY = msg("no match"), msg("No conversations yet")
BUSY, UNSENT = "●", "✎"
"""Marks of a conversation that is being answered, and of another than the open one with words that
are not sent."""
TAG = "#"
"""What a word begins with that is searched among the tags."""
_PAGE = 200
"""Rows that are added when the cursor comes near the last one."""
_NEAR = 20


def group_name(seconds: float, today: datetime.date) -> str:
    """The group of a conversation last used at this time (UTC): a day, this week or a month."""
    day = datetime.datetime.fromtimestamp(seconds).date()
    age = (today - day).days
    if age <= 0:
        return tr(TODAY)
    if age == 1:
        return tr(YESTERDAY)
    if age < 7:
        return tr(THIS_WEEK)
    return tr("{day:%B %Y}", day=day)


class _Row(NamedTuple):
    """A row; without an ``id`` it is the title of those below."""

    id: str | None
    text: str
    age: str = ""


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
        self._conversations: Sequence[ListedConversation] = ()
        self._open_id: str | None = None
        self._busy: Set[str] = frozenset()
        self._unsent: Set[str] = frozenset()
        self._rows: list[_Row] = []
        self._most_rows = _PAGE
        self._query = ""
        self._delete_pressed: str | None = None

    def show(
        self,
        conversations: Sequence[ListedConversation],
        open_id: str | None,
        busy: Set[str],
        unsent: Set[str] = frozenset(),
    ) -> None:
        """Show the list, with marks for those in ``busy``, which are being answered, and those in
        ``unsent``, which have a draft or queued messages.

        Archived ones are only found by typing.
        """
        self._conversations = conversations
        self._open_id, self._busy, self._unsent = open_id, set(busy), set(unsent)
        self.fill()

    def title(self, conversation_id: str) -> str:
        """The title of a conversation; empty if it is not in the list."""
        listed = self.listed(conversation_id)
        return listed.title if listed is not None else ""

    def listed(self, conversation_id: str | None) -> ListedConversation | None:
        """What is known of a conversation; None if it is not in the list."""
        return next((c for c in self._conversations if c.id == conversation_id), None)

    @property
    def query_text(self) -> str:
        """What the person has typed to search the titles."""
        return self._query

    @property
    def highlighted_id(self) -> str | None:
        """The conversation the cursor is on."""
        option = self.highlighted_option
        return option.id if option is not None else None

    def fill(self) -> None:
        """Show what has changed since the last time; ages change by themselves."""
        rows = list(islice(self._matches() if self._query else self._by_day(), self._most_rows))
        if not any(row.id is not None for row in rows):
            rows.append(_Row(None, tr(NO_MATCH) if self._query else tr(EMPTY)))
        if rows != self._rows:
            before = self.highlighted_id
            kept = len(self._rows) if rows[: len(self._rows)] == self._rows else 0
            self._rows = rows
            if not kept:
                self.clear_options()
            self.add_options(
                Option(ListRow(row.text, row.age), id=row.id, disabled=row.id is None)
                for row in rows[kept:]
            )
            if not kept:
                self._highlight(before)
        if not self.has_focus:
            self._highlight(self._open_id)
        elif self.highlighted is None:
            self.action_first()

    def _row(self, conversation: ListedConversation) -> _Row:
        marks = BUSY if conversation.id in self._busy else ""
        is_open = conversation.id == self._open_id  # its words are in sight
        marks += UNSENT if conversation.id in self._unsent and not is_open else ""
        age = age_text(time.time() - conversation.updated_at)
        return _Row(conversation.id, f"{marks} {conversation.title}".lstrip(), age)

    def _by_day(self) -> Iterator[_Row]:
        today = datetime.datetime.now().date()
        group = ""
        for conversation in self._conversations:
            if conversation.archived:
                return  # they are at the end
            pinned = conversation.pinned
            name = tr(PINNED) if pinned else group_name(conversation.updated_at, today)
            if name != group:
                group = name
                yield _Row(None, name)
            yield self._row(conversation)

    def _matches(self) -> Iterator[_Row]:
        yield _Row(None, f"{tr(SEARCH)}: {self._query}")
        words = self._query.split()
        tags = [tag_key(word[1:]) for word in words if word.startswith(TAG)]
        title = self._query
        if tags:
            title = " ".join(word for word in words if not word.startswith(TAG))
        tagged = (c for c in self._conversations if not tags or _has_tags(c, tags))
        matches = best_matches(
            title, tagged, lambda each: each.title, lambda each: " ".join(each.tags)
        )
        yield from (self._row(each) for each in matches if not each.archived)
        archived = [each for each in matches if each.archived]
        if archived:
            yield _Row(None, tr(ARCHIVED))
        yield from map(self._row, archived)

    def _highlight(self, conversation_id: str | None) -> None:
        for index, row in enumerate(self._rows):
            if row.id is not None and row.id == conversation_id:
                self.highlighted = index
                return
        self.highlighted = None

    @on(OptionList.OptionHighlighted)
    def _show_more(self, event: OptionList.OptionHighlighted) -> None:
        """Add rows when the cursor comes near the last one."""
        is_near = event.option_index >= len(self._rows) - _NEAR
        if self.has_focus and is_near and len(self._rows) >= self._most_rows:
            self._most_rows += _PAGE
            self.fill()

    def on_focus(self) -> None:
        if self.highlighted is None:
            self.action_first()

    def on_blur(self) -> None:
        self._query = ""
        self._most_rows = _PAGE
        self._delete_pressed = None
        self.fill()

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
        self._most_rows = _PAGE
        self.fill()
        self.action_first()


def _has_tags(conversation: ListedConversation, beginnings: Sequence[str]) -> bool:
    """Whether each of ``beginnings`` is one of a tag of the conversation."""
    own = [tag_key(tag) for tag in conversation.tags]
    return all(any(tag.startswith(beginning) for tag in own) for beginning in beginnings)
