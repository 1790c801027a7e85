"""The line at the bottom: what goes on at the left, the keys that matter at the right."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Static

from baize_tui.app.actions import ACTIONS

BAR_CELLS = 12
WIDE, NARROW = 90, 60
"""Columns from which there is room for all key hints, and for any."""


def key_hints(columns: int) -> str:
    """At most four keys with a short word each; the first and last where there is little room."""
    shown = [action for action in ACTIONS if action.hint][:4]
    if columns < WIDE:
        shown = [shown[0], shown[-1]] if columns >= NARROW else []
    names = {"escape": "esc"}
    return "  ".join(
        f"{names.get(action.key, action.key.replace('ctrl+', '^'))} {action.hint}"
        for action in shown
    )


def bar(done: float) -> str:
    """A progress bar of ``BAR_CELLS`` cells; ``done`` is 0.0 to 1.0."""
    full = round(max(0.0, min(1.0, done)) * BAR_CELLS)
    return "━" * full + "╌" * (BAR_CELLS - full)


class StatusLine(Horizontal):
    """Fixed in size, so that an update lays nothing out again."""

    def __init__(self) -> None:
        super().__init__(id="status")
        self._text = ""
        self._kind = ""

    def compose(self) -> ComposeResult:
        yield Static("", id="status-text", markup=False)
        yield Static("", id="status-keys", markup=False)

    @property
    def text(self) -> str:
        return self._text

    def show(self, text: str, kind: str = "") -> None:
        """Say ``text``; ``kind`` is "", "busy" or "problem"."""
        if (text, kind) == (self._text, self._kind):
            return
        self._text, self._kind = text, kind
        line = self.query_one("#status-text", Static)
        width = line.size.width
        line.set_class(kind == "busy", "-busy")
        line.set_class(kind == "problem", "-problem")
        shown = (
            text if not width or cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
        )
        line.update(shown, layout=False)

    def on_resize(self) -> None:
        self.query_one("#status-keys", Static).update(key_hints(self.size.width))
        text, self._text = self._text, ""
        self.show(text, self._kind)
