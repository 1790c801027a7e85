"""Conversations that are not in the list: the archive, and the trash."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import getters, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import OptionList, Static
from textual.worker import Worker

from baize_tui.app.screens.dialogs import ConfirmDialog
from baize_tui.app.screens.picker import Choice, Picker
from baize_tui.app.widgets.ages import age_text
from baize_tui.app.widgets.fuzzy import best_matches
from baize_tui.app.widgets.list_row import ListRow
from baize_tui.chat.conversations import Conversations
from baize_tui.measures import count_text
from baize_tui.store.errors import StoreError
from baize_tui.store.records import ListedConversation
from baize_tui.translation import msg, tr

ARCHIVED, TRASH = msg("Archived conversations"), msg("Deleted conversations")
ARCHIVED_HINTS = msg("enter opens · f5 puts back into the list · esc")
TRASH_HINTS = msg("enter restores · delete removes for good · f8 removes all · esc")
NOTHING_ARCHIVED, TRASH_IS_EMPTY = msg("No conversation is archived."), msg("The trash is empty.")
REMOVE_AGAIN = msg("press delete again to remove it for good: nothing brings it back")
REMOVE_ALL, REMOVE = msg("Remove {count} for good?"), msg("remove")
WHAT_IS_REMOVED = msg(
    "Their messages, drafts and saved model states are removed from this computer. Only a backup "
    "or an export that you have brings them back."
)
FIRST_OF = msg("the first {most} of {found}")
_AGE = 4
"""Cells of an age."""
_MOST_SHOWN = 500
"""Rows at a time: the others are found by typing."""


class Shelf(Picker[str]):
    """The base of both; the result is the id of the conversation to open, if any."""

    DEFAULT_CSS = """
    Shelf {
        .dialog { width: 92; height: 94%; }
        OptionList { height: 1fr; max-height: 100%; scrollbar-size-vertical: 1; }
        #about { margin: 1 0 0 0; }
    }
    """
    _about = getters.query_one("#about", Static)

    def __init__(
        self,
        title: str,
        hints: str,
        nothing: str,
        read: Callable[[], Awaitable[list[ListedConversation]]],
    ) -> None:
        super().__init__(title, ())
        self._hints = hints
        self._nothing = nothing
        self._read = read
        self._listed: Sequence[ListedConversation] = ()
        self._is_read = False

    def _below_choices(self) -> ComposeResult:
        yield Static("", id="about", classes="about", markup=False)

    def on_mount(self) -> None:
        _: Worker[None] = self.run_worker(self._read_again, group="read", exclusive=True)

    async def _read_again(self) -> None:
        """Show what the store has now; the cursor stays about where it is."""
        try:
            self._listed = await self._read()
        except StoreError as error:
            self._about.update(str(error))
            return
        self._is_read = True
        if self.is_attached:
            self._fill_again()

    def _fill(self, query: str) -> None:
        found = best_matches(
            query, self._listed, lambda each: each.title, lambda each: " ".join(each.tags)
        )
        self._show([Choice(each.id, each.title) for each in found[:_MOST_SHOWN]])
        self._show_hints(len(found))

    def _show_hints(self, found: int) -> None:
        if not self._listed:
            self._about.update(
                tr("{nothing} esc closes.", nothing=self._nothing) if self._is_read else ""
            )
        elif found > _MOST_SHOWN:
            self._about.update(f"{tr(FIRST_OF, most=_MOST_SHOWN, found=found)} · {self._hints}")
        else:
            self._about.update(self._hints)

    @property
    def _chosen(self) -> ListedConversation | None:
        id = self._highlighted
        return next((listed for listed in self._listed if listed.id == id), None)

    def _row(self, choice: Choice[str]) -> ListRow:
        listed = next(each for each in self._listed if each.id == choice.value)
        since = listed.updated_at if listed.deleted_at is None else listed.deleted_at
        tags = "".join(f" #{tag}" for tag in listed.tags)
        return ListRow(f"  {listed.title}", f"{tags} {_right(age_text(time.time() - since))}")


def _right(age: str) -> str:
    return " " * max(_AGE - cell_len(age), 0) + age


class ArchivedScreen(Shelf):
    """Opens an archived conversation, or puts it back into the list."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("f5", "put_back", priority=True)]

    def __init__(self, conversations: Conversations) -> None:
        super().__init__(
            tr(ARCHIVED), tr(ARCHIVED_HINTS), tr(NOTHING_ARCHIVED), conversations.archived
        )
        self._conversations = conversations

    async def action_put_back(self) -> None:
        if (chosen := self._chosen) is None:
            return
        try:
            await self._conversations.set_archived(chosen.id, False)
        except StoreError as error:
            self._about.update(str(error))
            return
        await self._read_again()


class TrashScreen(Shelf):
    """Restores a deleted conversation, or removes it for good."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("delete", "remove", priority=True),
        Binding("f8", "remove_all", priority=True),
    ]

    def __init__(self, conversations: Conversations) -> None:
        super().__init__(tr(TRASH), tr(TRASH_HINTS), tr(TRASH_IS_EMPTY), conversations.deleted)
        self._conversations = conversations
        self._pressed_on: str | None = None
        """The conversation on which the person pressed Delete once."""

    async def _take(self, value: str) -> None:
        try:
            await self._conversations.undelete(value)
        except StoreError as error:
            self._about.update(str(error))
            return
        self.dismiss(value)

    async def action_remove(self) -> None:
        if (chosen := self._chosen) is None:
            return
        if self._pressed_on != chosen.id:
            self._pressed_on = chosen.id
            self._about.update(tr(REMOVE_AGAIN))
            return
        await self._purge([chosen.id])

    @on(OptionList.OptionHighlighted)
    def _forget_press(self) -> None:
        chosen = self._chosen
        if self._pressed_on is not None and (chosen is None or chosen.id != self._pressed_on):
            self._pressed_on = None
            self._show_hints(len(self._matches))

    @work(group="purge", exclusive=True)
    async def action_remove_all(self) -> None:
        ids = [listed.id for listed in self._listed]
        if not ids:
            return
        question = tr(REMOVE_ALL, count=count_text(len(ids), "conversation"))
        dialog = ConfirmDialog(question, tr(WHAT_IS_REMOVED), tr(REMOVE))
        if await self.app.push_screen_wait(dialog):
            await self._purge(ids)

    async def _purge(self, ids: Sequence[str]) -> None:
        self._pressed_on = None
        try:
            await self._conversations.purge(ids)
        except StoreError as error:
            self._about.update(str(error))
            return
        await self._read_again()
