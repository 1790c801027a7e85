"""The palette: the commands that would do something now, with their keys."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from baize_tui.app.actions import Action, key_name
from baize_tui.app.screens.picker import Choice, Picker

TITLE = "Commands"
_NARROW = 45
"""Columns of the terminal below which a row is a title and its key."""


class Palette(Picker[Action]):
    """Asks for one of ``actions``, searched by its title and by what it does."""

    DEFAULT_CSS = """
    Palette {
        OptionList {
            max-height: 24;
            scrollbar-size-vertical: 1;
            scrollbar-background: $panel;
            text-wrap: nowrap;
            text-overflow: ellipsis;
        }
    }
    """

    def __init__(self, actions: Sequence[Action], title: str = TITLE) -> None:
        choices = [Choice(action, action.title, action.help) for action in actions]
        super().__init__(title, choices)
        self._title_width = max(cell_len(action.title) for action in actions)
        self._key_width = max(cell_len(action.key) for action in actions)

    def _row(self, choice: Choice[Action]) -> Text:
        action = choice.value
        if self.app.size.width < _NARROW:  # no room for columns
            return Text(f"{action.title} ").append(key_name(action.key), "dim")
        row = Text(f"{action.title:<{self._title_width}}  {action.key:<{self._key_width}}  ")
        return row.append(action.help, "dim")
