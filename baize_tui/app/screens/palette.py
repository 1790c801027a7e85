"""The palette: the commands that would do something now, with their keys."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from baize_tui.app.actions import Action, key_name
from baize_tui.app.screens.picker import Choice, Picker
from baize_tui.translation import msg, tr

TITLE = msg("Commands")
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
        choices = [Choice(action, tr(action.title), _searched(action)) for action in actions]
        super().__init__(tr(title), choices)
        self._title_width = max(cell_len(choice.text) for choice in choices)
        self._key_width = max(cell_len(action.key) for action in actions)

    def _row(self, choice: Choice[Action]) -> Text:
        action = choice.value
        if self.app.size.width < _NARROW:  # no room for columns
            return Text(f"{choice.text} ").append(key_name(action.key), "dim")
        title = set_cell_size(choice.text, self._title_width)
        row = Text(f"{title}  {action.key:<{self._key_width}}  ")
        return row.append(tr(action.help), "dim")


def _searched(action: Action) -> str:
    """What is searched after the title: what it does, and its English names too."""
    help = tr(action.help)
    return help if help == action.help else f"{help} {action.title} {action.help}"
