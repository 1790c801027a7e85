"""A list to choose from, searched by typing; all choices are made in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, Literal, TypeVar

from msgspec import Struct
from rich.text import Text
from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from baize_tui.app.screens.dialogs import Dialog
from baize_tui.app.widgets.choice_lists import ChoiceList
from baize_tui.app.widgets.fuzzy import best_matches
from baize_tui.app.widgets.list_row import ListRow
from baize_tui.app.widgets.text_fields import LineInput
from baize_tui.translation import msg, tr

SEARCH = msg("Type to search")

T = TypeVar("T")


class Choice(Struct, Generic[T], frozen=True):
    """A value to choose, and the text of its row."""

    value: T
    text: str
    description: str = ""
    """What it is, which is searched after the texts."""


class Picker(Dialog[T | None], Generic[T]):
    """Asks for one of ``choices``; the result is None when the person cancels."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", priority=True),
        Binding("up", "move(-1)", priority=True),
        Binding("pagedown", "page(1)", priority=True),
        Binding("pageup", "page(-1)", priority=True),
    ]
    _input = getters.query_one(LineInput)
    _options = getters.query_one(ChoiceList)

    def __init__(
        self,
        question: str,
        choices: Sequence[Choice[T]],
        *,
        placeholder: str = SEARCH,
        typed: str = "",
    ) -> None:
        """``typed`` is what is searched at first."""
        super().__init__()
        self._question = question
        self._choices = choices
        self._placeholder = placeholder
        self._typed = typed
        self._matches: Sequence[Choice[T]] = ()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._question, classes="title", markup=False)
            yield LineInput(
                self._typed,
                placeholder=tr(self._placeholder),
                compact=True,
                select_on_focus=False,
            )
            yield from self._above_choices()
            yield ChoiceList(id="choices", compact=True, markup=False)
            yield from self._below_choices()

    def _above_choices(self) -> ComposeResult:
        """What is between the search and the choices."""
        yield from ()

    def _below_choices(self) -> ComposeResult:
        """What is said of the choices."""
        yield from ()

    def on_mount(self) -> None:
        self._fill(self._typed)

    @property
    def _highlighted(self) -> T | None:
        """The value under the cursor."""
        index = self._options.highlighted
        return None if index is None else self._matches[index].value

    @on(Input.Changed)
    def _search(self, event: Input.Changed) -> None:
        self._fill(event.value)

    def _fill_again(self) -> None:
        """Show the choices as they are now; the cursor stays about where it is."""
        at = self._options.highlighted
        self._fill(self._input.value)
        if at is not None and self._matches:
            self._options.highlighted = min(at, len(self._matches) - 1)

    def _fill(self, query: str) -> None:
        self._show(
            best_matches(
                query, self._choices, lambda choice: choice.text, lambda choice: choice.description
            )
        )

    def _show(self, matches: Sequence[Choice[T]]) -> None:
        """Show the choices that match what was typed."""
        self._matches = matches
        self._options.clear_options()
        self._options.add_options(Option(self._row(choice)) for choice in self._matches)
        self._options.action_first()

    def _row(self, choice: Choice[T]) -> str | Text | ListRow:
        """The row of a choice."""
        return f"  {choice.text}"

    def action_move(self, step: int) -> None:
        if step > 0:
            self._options.action_cursor_down()
        else:
            self._options.action_cursor_up()

    def action_page(self, direction: Literal[-1, 1]) -> None:
        self._options.page(direction)

    @on(Input.Submitted)
    async def _submit(self, event: Input.Submitted) -> None:
        if not await self._take_typed(event.value):
            await self._choose()

    @on(OptionList.OptionSelected)
    async def _choose(self) -> None:
        value = self._highlighted
        if value is not None:
            await self._take(value)

    async def _take_typed(self, text: str) -> bool:
        """Handle Enter by what is typed; False if it means the choice under the cursor."""
        return False

    async def _take(self, value: T) -> None:
        """The person chose ``value``."""
        self.dismiss(value)
