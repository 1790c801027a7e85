"""A picker whose rows say what each choice is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from baize_tui.app.screens.picker import Choice, Picker

_NARROW = 45
"""Columns of the terminal below which a row is a name alone."""


class DescribedPicker(Picker[str]):
    """Asks for one of ``choices``, searched by name and description."""

    DEFAULT_CSS = """
    DescribedPicker {
        .dialog {
            width: 92;
        }
        OptionList {
            text-wrap: nowrap;
            text-overflow: ellipsis;
        }
    }
    """

    def __init__(self, question: str, choices: Sequence[Choice[str]]) -> None:
        super().__init__(question, choices)
        self._width = max((cell_len(choice.text) for choice in choices), default=0)

    def _row(self, choice: Choice[str]) -> Text:
        if self.app.size.width < _NARROW:
            return Text(f"  {choice.text}")
        blanks = " " * (self._width - cell_len(choice.text) + 2)
        return Text(f"  {choice.text}{blanks}").append(choice.description, "dim")
