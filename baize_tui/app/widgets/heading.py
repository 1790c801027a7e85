"""The title of the open conversation, and its model, above the text on a high screen."""

from __future__ import annotations

from rich.text import Text

from baize_tui.app.widgets.fixed_text import FixedText
from baize_tui.store.records import Conversation

LOWEST = 30
"""Lines of the screen below which there is no room for it."""


class Heading(FixedText):
    """One line; hidden while no conversation is open."""

    DEFAULT_CSS = """
    Heading {
        display: none;
        height: 2;
        padding: 1 3 0 3;
        text-wrap: nowrap;
        text-overflow: ellipsis;

        &.-open.-room { display: block; }
    }
    """

    def __init__(self) -> None:
        super().__init__("", id="heading", markup=False)

    def show(self, conversation: Conversation | None) -> None:
        """Show what ``conversation`` is called and which model it began with."""
        self.set_class(conversation is not None, "-open")
        if conversation is not None:
            model = f" · {conversation.model}" if conversation.model else ""
            self.update(Text.assemble((conversation.title, "bold"), (model, "dim")))

    def screen_resized(self, lines: int) -> None:
        """The screen has ``lines`` lines now."""
        self.set_class(lines >= LOWEST, "-room")
