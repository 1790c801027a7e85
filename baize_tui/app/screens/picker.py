"""A list to choose one from, found by typing; every list to choose from is this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from baize_tui.app.screens.dialogs import Dialog
from baize_tui.app.widgets.fuzzy import best_matches


class Choice(Struct, frozen=True):
    """What can be chosen: what it is called, and what is said about it."""

    id: str
    about: str = ""
    can_be_chosen: bool = True

    @property
    def words(self) -> str:
        return f"{self.id}  {self.about}" if self.about and self.about != self.id else self.id


class Picker(Dialog[str | None]):
    """Asks for one of ``choices``; None when the person gives up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", priority=True),
        Binding("down", "move(1)", priority=True),
        Binding("up", "move(-1)", priority=True),
    ]

    def __init__(self, question: str, choices: Sequence[Choice], current: str | None = None):
        super().__init__()
        self._question = question
        self._choices = choices
        self._current = current

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._question, classes="title", markup=False)
            yield Input(placeholder="Type to find", compact=True)
            yield OptionList(id="choices", compact=True, markup=False)

    @property
    def _options(self) -> OptionList:
        return self.query_one(OptionList)

    def on_mount(self) -> None:
        self._fill("")
        ids = [choice.id for choice in self._choices]
        if self._current in ids:
            self._options.highlighted = ids.index(self._current)

    def _fill(self, wanted: str) -> None:
        found = best_matches(wanted, self._choices, lambda choice: choice.words)
        self._options.clear_options()
        self._options.add_options(
            Option(
                ("● " if choice.id == self._current else "  ") + choice.words,
                id=choice.id,
                disabled=not choice.can_be_chosen,
            )
            for choice in found
        )
        self._options.action_first()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._fill(event.value)

    def action_move(self, step: int) -> None:
        if step > 0:
            self._options.action_cursor_down()
        else:
            self._options.action_cursor_up()

    def on_input_submitted(self) -> None:
        option = self._options.highlighted_option
        if option is not None:
            self.dismiss(option.id)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)
