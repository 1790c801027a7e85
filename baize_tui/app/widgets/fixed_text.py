"""Text of the client itself, such as its status, which is not selected with the mouse."""

from __future__ import annotations

from textual.selection import Selection
from textual.widgets import Static


class FixedText(Static):
    """A ``Static`` that is left out of a selection, also one that ends on it."""

    ALLOW_SELECT = False

    @property
    def text_selection(self) -> None:
        return None

    def get_selection(self, selection: Selection) -> None:
        return None
