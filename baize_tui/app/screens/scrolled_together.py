"""Texts side by side, which the same keys scroll."""

from __future__ import annotations

from typing import ClassVar

from textual import events, getters
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from baize_tui.app.screens.dialogs import Dialog
from baize_tui.app.transcript.transcript import Transcript

_NARROW = 60
"""Columns of the terminal below which the texts are one below the other."""


class Column(Vertical):
    """Messages under a name and a line about them."""

    DEFAULT_CSS = """
    Column { width: 1fr; height: 1fr; }
    Column .answerer { color: $primary; text-style: bold; padding: 0 2; }
    Column .state { color: $dim; padding: 0 2; }
    Column .state.-problem { color: $error; }
    Column Transcript { padding: 1 0 0 0; }
    """
    _transcript = getters.query_one(Transcript)
    _state = getters.query_one(".state", Static)

    def __init__(self, name: str, state: str) -> None:
        super().__init__()
        self._name_shown = name
        self._first_state = state

    def compose(self) -> ComposeResult:
        yield Static(self._name_shown, classes="answerer", markup=False)
        yield Static(self._first_state, classes="state", markup=False)
        yield Transcript({}, id=None)

    @property
    def transcript(self) -> Transcript:
        return self._transcript

    @property
    def text(self) -> str:
        """The messages as far as they are shown."""
        return "".join(turn.text for turn in self._transcript.turns)

    def show_state(self, text: str, *, problem: bool = False) -> None:
        """Show ``text`` below the name."""
        self._state.set_class(problem, "-problem")
        self._state.update(text)


class ScrolledTogether(Dialog[None]):
    """The base of screens with ``Column``s in ``.columns``."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_lines(-1)"),
        Binding("down", "scroll_lines(1)"),
        Binding("pageup", "scroll_page(-1)"),
        Binding("pagedown,space", "scroll_page(1)"),
        Binding("home", "scroll_to_start"),
        Binding("end", "scroll_to_end"),
    ]
    DEFAULT_CSS = """
    ScrolledTogether {
        .dialog { width: 96%; height: 94%; }
        .title { max-height: 3; }
        .columns { height: 1fr; }
        .columns.-stacked { layout: vertical; }
    }
    """

    def on_resize(self, event: events.Resize) -> None:
        self.query_one(".columns").set_class(event.size.width < _NARROW, "-stacked")

    @property
    def _transcripts(self) -> list[Transcript]:
        return [column.transcript for column in self.query(Column)]

    def action_scroll_lines(self, lines: int) -> None:
        for transcript in self._transcripts:
            transcript.scroll_lines(lines)

    def action_scroll_page(self, direction: int) -> None:
        for transcript in self._transcripts:
            transcript.page(direction)

    def action_scroll_to_start(self) -> None:
        for transcript in self._transcripts:
            transcript.scroll_to_start()

    def action_scroll_to_end(self) -> None:
        for transcript in self._transcripts:
            transcript.follow()
