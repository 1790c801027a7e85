"""The files and folders that a path in the prompt may become."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from textual.widgets.option_list import Option

from baize_shared.sanitizer import clean_line
from baize_tui.app.widgets.choice_lists import ChoiceList


class Offer(Struct, frozen=True):
    """A row of the list."""

    path: str
    """As it would be written after the ``@``."""
    text: str
    enters: bool = False
    """Whether taking it shows what is in a folder; else it is attached."""


class FileOffers(ChoiceList):
    """A list above the prompt, hidden while it is empty; the prompt keeps the focus."""

    DEFAULT_CSS = """
    FileOffers {
        display: none;
        height: auto;
        max-height: 8;
        margin: 0 3;
        padding: 0;
        border: none;
        background: $surface;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        scrollbar-size-vertical: 1;
    }
    """

    can_focus = False

    def __init__(self) -> None:
        super().__init__(id="offers", compact=True, markup=False)
        self._offers: Sequence[Offer] = ()

    def show(self, offers: Sequence[Offer]) -> None:
        """Show ``offers``; none hides the list."""
        if offers == self._offers:
            return
        self._offers = offers
        self.display = bool(offers)
        self.clear_options()
        self.add_options(Option(clean_line(offer.text)) for offer in offers)
        self.action_first()

    @property
    def taken(self) -> Offer | None:
        """The highlighted row; None while the list is hidden."""
        at = self.highlighted
        return self._offers[at] if at is not None and at < len(self._offers) else None

    def move(self, step: int) -> None:
        """Highlight the row below (1) or above (-1)."""
        if step > 0:
            self.action_cursor_down()
        else:
            self.action_cursor_up()
