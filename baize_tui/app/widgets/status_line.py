"""The line at the bottom: what goes on at the left, the keys that matter at the right."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Static

from baize_tui.app.actions import Action, key_name

WIDE, NARROW = 90, 60
"""Columns from which there is room for all key hints, and for any."""
"""Work that goes on for so long tells how long it still takes."""


def key_hints(actions: Sequence[Action], columns: int, *, busy: bool) -> list[Action]:
    """At most four actions to name with their keys; two where there is little room."""
    wanted = ("stop", "new", "list", "quit") if busy else ("new", "list", "help", "quit")
    shown = [action for id in wanted for action in actions if action.id == id]
    if columns < WIDE:
        shown = [shown[0 if busy else 2], shown[-1]] if columns >= NARROW else []
    return shown


def threads_text(threads: int, most: int) -> str:
    """How many threads write: "2 threads", or "1 of 2 threads"."""
    if threads < most:
        return f"{threads} of {most} threads"
    return f"{threads} threads" if threads != 1 else "1 thread"


class StatusLine(Horizontal):
    """Fixed in size, so that an update lays nothing out again."""

    def __init__(self, actions: Sequence[Action]) -> None:
        super().__init__(id="status")
        self._actions = actions
        self._text = ""
        self._kind = ""
        self._can_stop = False

    def compose(self) -> ComposeResult:
        yield Static("", id="status-text", markup=False)
        yield Static("", id="status-keys", markup=False)

    @property
    def text(self) -> str:
        return self._text

    @property
    def hints(self) -> str:
        """The keys named at the right."""
        return self._hints().plain

    def fits(self, text: str) -> bool:
        """Whether there is room for all of ``text`` beside the key hints."""
        return cell_len(text) <= self.query_one("#status-text", Static).content_size.width

    def show(self, text: str, kind: str = "") -> None:
        """Say ``text``; ``kind`` is "", "busy" or "problem"."""
        if (text, kind) == (self._text, self._kind):
            return
        self._text, self._kind = text, kind
        line = self.query_one("#status-text", Static)
        line.set_class(kind == "busy", "-busy")
        line.set_class(kind == "problem", "-problem")
        line.update(text, layout=False)

    def show_stop(self, can_stop: bool) -> None:
        """Name the key that stops, while there is something to stop."""
        if can_stop != self._can_stop:
            self._can_stop = can_stop
            self._show_hints()

    def _hints(self) -> Text:
        hints = Text()
        for action in key_hints(self._actions, self.size.width, busy=self._can_stop):
            hints.append("  " if hints else "")
            click = Style(meta={"@click": f"screen.{action.id}"})
            hints.append(f"{key_name(action.key)} {action.hint}", click)
        return hints

    def _show_hints(self) -> None:
        self.query_one("#status-keys", Static).update(self._hints())

    def on_resize(self) -> None:
        self._show_hints()
