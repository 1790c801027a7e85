"""Lists to choose from: Textual's, without the crashes of version 8.2.8.

All lists of the client are of these classes.
"""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.widgets import OptionList, Select
from textual.widgets._select import SelectCurrent, SelectOverlay

from baize_tui.app.widgets.text_fields import KeysInOrder, editing_actions

T = TypeVar("T")


class ChoiceList(KeysInOrder, OptionList):
    """An option list that can be used before its first layout, and while its options change."""

    EDITING = editing_actions(OptionList)

    def page(self, direction: Literal[-1, 1]) -> None:
        """Highlight the option a page above (-1) or below (1)."""
        self._move_page(direction)

    def _move_page(self, direction: Literal[-1, 1]) -> None:
        # OptionList looks the highlighted option up among lines that it has only after a layout.
        if self._lines:
            super()._move_page(direction)

    async def _on_click(self, event: events.Click) -> None:
        # The options may be others than those on the screen when the mouse button was released.
        clicked = event.style.meta.get("option")
        if clicked is not None and clicked >= self.option_count:
            event.prevent_default()


class _ChoiceOverlay(SelectOverlay, ChoiceList):
    """The list that a select opens."""


class ChoiceSelect(Select[T], Generic[T]):
    """A select whose list is a ``ChoiceList``."""

    def compose(self) -> ComposeResult:
        yield SelectCurrent(self.prompt)
        overlay = _ChoiceOverlay(type_to_search=self._type_to_search)
        yield overlay.data_bind(compact=Select.compact)
