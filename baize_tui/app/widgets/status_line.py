"""The line at the bottom: the client's state at the left, the most useful keys at the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual import getters
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Static

from baize_shared.counts import count_text
from baize_tui.app.actions import Action, key_name

WIDE, NARROW = 90, 60
"""Columns from which there is room for all key hints, and for any."""

LOADING, READING, ANSWERING = "loading", "reading the prompt", "answering"
"""Words for work in progress."""

StatusKind = Literal["idle", "busy", "problem"]


def key_hints(actions: Sequence[Action], columns: int, *, busy: bool) -> list[Action]:
    """The actions to show with their keys: at most four, two if there is little room."""
    ids: tuple[str, ...]
    if columns >= WIDE:
        ids = ("stop", "new", "list", "quit") if busy else ("new", "list", "help", "quit")
    elif columns >= NARROW:
        ids = ("stop", "quit") if busy else ("help", "quit")
    else:
        ids = ()
    return [action for id in ids for action in actions if action.id == id]


def threads_text(threads: int, most: int) -> str:
    """The threads in use, of ``most``: "2 threads", or "1 of 2 threads"."""
    if threads < most:
        return f"{threads} of {count_text(most, 'thread')}"
    return count_text(threads, "thread")


class StatusLine(Horizontal):
    """Its size is fixed, so that an update needs no new layout."""

    _text_line = getters.query_one("#status-text", Static)
    _keys_line = getters.query_one("#status-keys", Static)

    def __init__(self, actions: Sequence[Action]) -> None:
        super().__init__(id="status")
        self._actions = actions
        self._text = ""
        self._kind: StatusKind = "idle"
        self._can_stop = False

    def compose(self) -> ComposeResult:
        yield Static("", id="status-text", markup=False)
        yield Static("", id="status-keys", markup=False)

    @property
    def text(self) -> str:
        return self._text

    @property
    def kind(self) -> StatusKind:
        return self._kind

    @property
    def hints(self) -> str:
        """The keys shown at the right."""
        return self._hints().plain

    def fits(self, text: str) -> bool:
        """Whether all of ``text`` fits beside the key hints."""
        return cell_len(text) <= self._text_line.content_size.width

    def show(self, text: str, kind: StatusKind = "idle") -> None:
        if (text, kind) == (self._text, self._kind):
            return
        self._text, self._kind = text, kind
        line = self._text_line
        line.set_class(kind == "busy", "-busy")
        line.set_class(kind == "problem", "-problem")
        line.update(text, layout=False)

    def show_stop(self, can_stop: bool) -> None:
        """Show the key that stops the answer, or hide it."""
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
        self._keys_line.update(self._hints())

    def on_resize(self) -> None:
        self._show_hints()
