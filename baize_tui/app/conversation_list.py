"""The conversations at the left, the last used first."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from baize_tui.store.records import Conversation


class ConversationList(OptionList):
    """One row a conversation; choosing one posts ``OptionSelected`` with its id."""

    def __init__(self) -> None:
        super().__init__(id="conversations", compact=True, markup=False)
        self._shown: list[tuple[str, str, bool]] = []

    def show(
        self, conversations: Sequence[Conversation], open_id: str | None, busy: set[str]
    ) -> None:
        """Show the list; a dot marks those whose answer is on its way."""
        rows = [(c.id, c.title, c.id in busy) for c in conversations]
        if rows != self._shown:
            self._shown = rows
            highlighted = self.highlighted_option
            kept = highlighted.id if highlighted is not None else None
            self.clear_options()
            self.add_options(
                Option(
                    Text(f"{'● ' if busy else ''}{title}", no_wrap=True, overflow="ellipsis"), id=id
                )
                for id, title, busy in rows
            )
            self._highlight(kept)
        if not self.has_focus:
            self._highlight(open_id)
        self.set_class(not rows, "-empty")

    def _highlight(self, conversation_id: str | None) -> None:
        for index, (id, _, _) in enumerate(self._shown):
            if id == conversation_id:
                self.highlighted = index
                return
        self.highlighted = None


def _row(title: str, working: bool) -> Text:
    return Text(f"{'● ' if working else ''}{title}", no_wrap=True, overflow="ellipsis")
