"""All branches of a conversation, as a tree: show one, name it, compare two, delete one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct
from rich.cells import set_cell_size
from textual import getters, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import OptionList, Static
from textual.worker import Worker

from baize_shared.sanitizer import clean_line
from baize_tui.app.screens.branch_comparison import BranchComparison, branch_title
from baize_tui.app.screens.dialogs import LineDialog
from baize_tui.app.screens.picker import Choice, Picker
from baize_tui.app.widgets.ages import age_text
from baize_tui.app.widgets.fuzzy import best_matches
from baize_tui.app.widgets.list_row import ListRow
from baize_tui.chat.chat import Chat
from baize_tui.measures import count_text
from baize_tui.store.errors import StoreError
from baize_tui.store.records import MARK_NAMES, BranchRow, Conversation, MessageState
from baize_tui.translation import msg, tr

TITLE = msg("Branches of “{title}”")
HINTS = msg("enter show · f2 name · f5 compare · delete · alt+z undo · esc")
NAME_QUESTION = msg("Name of this branch")
NOTHING = msg("This conversation has no messages.")
COMPARE_WITH = msg("press f5 on the branch to compare it with")
NESTED = msg("one of them contains the other: choose two that part")
DELETE_AGAIN = msg("press delete again to delete the branch with {count}")
WHOLE = msg("this is the whole conversation: delete it in the list")
ANSWERING = msg("an answer is being written here: wait for its end, or stop it")
NOTHING_TO_UNDO = msg("no branch was deleted here")
QUESTION_PLACE = msg("Question {done} of {total}")
ANSWER_PLACE = msg("Answer {done} of {total}")
SHOWN, NOT_SHOWN, CHOSEN = "●", "○", "◆"
_SPEAKERS = {"user": msg("You"), "assistant": msg("Model")}
_SPEAKER = 5
"""Cells of the name of a speaker."""
_STATES: dict[MessageState, str] = {
    "streaming": msg("streaming"),
    "stopped": msg("stopped"),
    "interrupted": msg("interrupted"),
    "failed": msg("failed"),
}
"""Of an answer that is incomplete."""
_DEEPEST = 10
"""Levels of the tree that are drawn; deeper branches begin with an ellipsis."""
_LONGEST_TITLE = 60


class Deletion(Struct, frozen=True):
    """A branch that was deleted, and the message that the shown branch ended with before."""

    message_id: int
    leaf_id: int | None


class BranchMap(Picker[BranchRow]):
    """The result is the branch to show; None leaves what is shown, unless it was deleted."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "rename", priority=True),
        Binding("f5", "compare", priority=True),
        Binding("delete", "delete", priority=True),
        Binding("alt+z", "undo", priority=True),
    ]
    DEFAULT_CSS = """
    BranchMap {
        .dialog { width: 110; height: 94%; }
        OptionList {
            height: 1fr;
            max-height: 100%;
            scrollbar-size-vertical: 1;
            scrollbar-background: $panel;
        }
        #details { height: 2; margin: 1 0 0 0; color: $dim; }
        #about { margin: 1 0 0 0; }
        #about.-problem { color: $error; }
    }
    """
    _about = getters.query_one("#about", Static)
    _details = getters.query_one("#details", Static)

    def __init__(self, chat: Chat, conversation: Conversation) -> None:
        title = clean_line(conversation.title, _LONGEST_TITLE)
        super().__init__(tr(TITLE, title=title), ())
        self._chat = chat
        self._conversation_id = conversation.id
        self._rows: Sequence[BranchRow] = ()
        self._chosen_id: int | None = None
        """The first message of the first branch to compare."""
        self._pressed_on: int | None = None
        """The branch on which the person pressed Delete once."""
        self.deletions: list[Deletion] = []
        """What was deleted and not restored, the latest last."""
        self.has_changed = False
        """Whether the conversation is not as it was before."""

    def _below_choices(self) -> ComposeResult:
        yield Static("", id="details", markup=False)
        yield Static(tr(HINTS), id="about", classes="about", markup=False)

    def on_mount(self) -> None:
        _: Worker[None] = self.run_worker(self._open, group="read", exclusive=True)

    async def _open(self) -> None:
        """Show the branches, with the cursor on the end of the one that is shown."""
        await self._read()
        shown = [place for place, choice in enumerate(self._matches) if choice.value.shown]
        if shown:
            self._options.highlighted = shown[-1]

    # --- what is shown --------------------------------------------------------------------------

    async def _read(self) -> None:
        """Show the branches as the store has them now; the cursor stays where it is."""
        try:
            self._rows = await self._chat.conversations.branch_rows(self._conversation_id)
        except StoreError as error:
            self._say(str(error), problem=True)
            return
        if self.is_attached:
            self._fill_again()

    def _fill(self, query: str) -> None:
        choices = [Choice(row, f"{row.start.name} {row.start.text}".strip()) for row in self._rows]
        self._show(best_matches(query, choices, lambda choice: choice.text))
        self._show_details()

    def _row(self, choice: Choice[BranchRow]) -> ListRow:
        row = choice.value
        guides = "" if self._input.value else guides_text(row.guides)
        mark = SHOWN if row.shown else NOT_SHOWN
        if row.start.id == self._chosen_id:
            mark = CHOSEN
        speaker = set_cell_size(tr(_SPEAKERS[row.start.role]), _SPEAKER)
        return ListRow(f"{guides}{mark} {speaker} {branch_title(row)}", _about_row(row))

    @on(OptionList.OptionHighlighted)
    def _show_details(self) -> None:
        """Say more about the branch under the cursor."""
        row = self._highlighted
        if row is None or row.start.id != self._pressed_on:
            self._pressed_on = None
            self._say(tr(COMPARE_WITH) if self._chosen_id is not None else tr(HINTS))
        text = _details(row) if row is not None else ""
        self._details.update(text if self._rows else tr(NOTHING))

    def _say(self, text: str, *, problem: bool = False) -> None:
        self._about.set_class(problem, "-problem")
        self._about.update(text)

    # --- what can be done -----------------------------------------------------------------------

    @property
    def _can_change(self) -> bool:
        """Whether the branches can be changed; shows why not."""
        if self._conversation_id in self._chat.busy:
            self._say(tr(ANSWERING), problem=True)
            return False
        return True

    async def _take(self, value: BranchRow) -> None:
        if value.shown or self._can_change:
            self.dismiss(value)

    # The branch is read here, not in a worker: the next key may move the cursor.

    def action_rename(self) -> None:
        if (row := self._highlighted) is not None:
            self._rename(row)

    @work(group="name", exclusive=True)
    async def _rename(self, row: BranchRow) -> None:
        name = await self.app.push_screen_wait(
            LineDialog(tr(NAME_QUESTION), row.start.name, may_be_empty=True)
        )
        if name is None:
            return
        try:
            await self._chat.messages.name_branch(row.start.id, name)
        except StoreError as error:
            self._say(str(error), problem=True)
            return
        self.has_changed = True
        await self._read()

    def action_compare(self) -> None:
        """Choose the branch to compare with, or the first one of two."""
        if (row := self._highlighted) is None:
            return
        first = next((each for each in self._rows if each.start.id == self._chosen_id), None)
        if first is None or first.start.id == row.start.id:
            self._chosen_id = row.start.id if first is None else None
            self._fill_again()
        else:
            self._compare(first, row)

    @work(group="compare", exclusive=True)
    async def _compare(self, first: BranchRow, row: BranchRow) -> None:
        try:
            paths = [await self._chat.messages.path(each.leaf_id) for each in (first, row)]
        except StoreError as error:
            self._say(str(error), problem=True)
            return
        screen = BranchComparison((first, row), paths)
        if not screen.parts:
            self._say(tr(NESTED), problem=True)
            return
        self._chosen_id = None
        await self.app.push_screen_wait(screen)
        self._fill_again()

    async def action_delete(self) -> None:
        row = self._highlighted
        if row is None or not self._can_change:
            return
        if not row.guides:
            self._say(tr(WHOLE), problem=True)
        elif self._pressed_on != row.start.id:
            self._pressed_on = row.start.id
            count = count_text(self._messages_in(row), "message")
            self._say(tr(DELETE_AGAIN, count=count), problem=True)
        else:
            await self._delete(row)

    def _messages_in(self, row: BranchRow) -> int:
        """The messages of a branch and of all that leave it."""
        place = self._rows.index(row)
        total = row.messages
        for below in self._rows[place + 1 :]:
            if len(below.guides) <= len(row.guides):
                break
            total += below.messages
        return total

    async def _delete(self, row: BranchRow) -> None:
        conversations, messages = self._chat.conversations, self._chat.messages
        self._pressed_on = None
        try:
            before = await conversations.get(self._conversation_id)
            await messages.delete(row.start.id)
        except StoreError as error:
            self._say(str(error), problem=True)
            return
        self.deletions.append(Deletion(row.start.id, before.leaf_id))
        self.has_changed = True
        await self._read()

    async def action_undo(self) -> None:
        """Restore the branch that was deleted last."""
        if not self.deletions:
            self._say(tr(NOTHING_TO_UNDO))
            return
        if not self._can_change:
            return
        deletion = self.deletions[-1]
        try:
            await self._chat.messages.undelete(deletion.message_id, leaf_id=deletion.leaf_id)
        except StoreError as error:
            self._say(str(error), problem=True)
            return
        self.deletions.remove(deletion)
        await self._read()


def guides_text(guides: Sequence[bool]) -> str:
    """The lines of the tree at the left of a branch."""
    if not guides:
        return ""
    above, follows = guides[:-1], guides[-1]
    cut = "… " if len(above) >= _DEEPEST else ""
    lines = "".join("│ " if line else "  " for line in above[-_DEEPEST + 1 if cut else 0 :])
    return f"{cut}{lines}{'├─' if follows else '╰─'}"


def _about_row(row: BranchRow) -> str:
    """The short text at the right of a row."""
    start = row.start
    mark = tr(MARK_NAMES[start.mark]) if start.mark else ""
    parts = (start.model, mark, age_text(time.time() - start.created_at))
    return " · ".join(part for part in parts if part)


def _details(row: BranchRow) -> str:
    """What the branch begins with, and how long it is."""
    start, (position, total) = row.start, row.position
    place = tr("The beginning")
    if total > 1:
        place = tr(
            QUESTION_PLACE if start.role == "user" else ANSWER_PLACE, done=position, total=total
        )
    parts = (
        place,
        start.name,
        start.model,
        tr("marked as {mark}", mark=tr(MARK_NAMES[start.mark])) if start.mark else "",
        count_text(row.messages, "message"),
        tr(_STATES.get(start.state, "")),
    )
    about = " · ".join(part for part in parts if part)
    return f"{about}\n{clean_line(start.text, 300)}"
