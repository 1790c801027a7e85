"""Two branches of a conversation side by side, from where they part."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from baize_shared.sanitizer import clean_line
from baize_tui.app.screens.scrolled_together import Column, ScrolledTogether
from baize_tui.measures import count_text
from baize_tui.store.records import BranchRow, Message
from baize_tui.translation import msg, tr

BEGINNING = msg("From the beginning")
AFTER = msg("After “{text}”")
HINT = msg("↑ ↓ scroll · esc closes")
NO_TEXT = msg("(empty)")
_LONGEST = 200


def branch_title(row: BranchRow) -> str:
    """The name of a branch, and the beginning of its first message."""
    text = clean_line(row.start.text, _LONGEST) or tr(NO_TEXT)
    return f"{row.start.name} — {text}" if row.start.name else text


class BranchComparison(ScrolledTogether):
    """Keys scroll both."""

    def __init__(
        self, branches: tuple[BranchRow, BranchRow], paths: Sequence[Sequence[Message]]
    ) -> None:
        """``paths`` are all messages of each branch, from the first of the conversation on."""
        super().__init__()
        self._branches = branches
        first, second = paths
        shared = 0
        for one, other in zip(first, second, strict=False):
            if one.id != other.id:
                break
            shared += 1
        self._own = [path[shared:] for path in paths]
        self._before = first[shared - 1] if shared else None

    @property
    def parts(self) -> bool:
        """Whether both have messages that the other lacks."""
        return all(self._own)

    def compose(self) -> ComposeResult:
        before = self._before
        title = tr(BEGINNING)
        if before is not None:
            title = tr(AFTER, text=clean_line(before.text, _LONGEST) or tr(NO_TEXT))
        with Vertical(classes="dialog"):
            yield Static(title, classes="title", markup=False)
            with Horizontal(classes="columns"):
                for row, own in zip(self._branches, self._own, strict=True):
                    yield Column(branch_title(row), _about(own))
            yield Static(tr(HINT), classes="about", markup=False)

    def on_mount(self) -> None:
        for column, own in zip(self.query(Column), self._own, strict=True):
            column.transcript.show(own, "", None)
            column.transcript.scroll_to_start()


def _about(messages: Sequence[Message]) -> str:
    words = sum(len(message.text.split()) for message in messages)
    models = [m.made.model for m in messages if m.made is not None]
    counts = (count_text(len(messages), "message"), count_text(words, "word"))
    return " · ".join([*counts, *dict.fromkeys(models)])
