"""Small screens over the client: a line to fill in, and the help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from baize_tui.app.actions import ACTIONS, LIST_KEYS, PROMPT_KEYS
from baize_tui.sanitizer import clean_line

Result = TypeVar("Result")


class Dialog(ModalScreen[Result]):
    """What both share: a panel in the middle. Its style is read when the first one opens."""

    AUTO_FOCUS = "*"
    DEFAULT_CSS = """
    Dialog {
        align: center middle;
        background: $background 60%;

        .dialog {
            width: 70;
            max-width: 90%;
            height: auto;
            padding: 1 2;
            background: $panel;
        }
        .dialog.-tall {
            width: 84;
            max-height: 90%;
        }
        .title {
            color: $primary;
            margin: 1 0 0 0;
        }
        Input {
            margin: 1 0 0 0;
            background: $surface;
        }
    }
    """


class LineDialog(Dialog[str | None]):
    """Asks for one line; None when the person gives up."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", priority=True)]

    def __init__(self, question: str, value: str = "") -> None:
        super().__init__()
        self._question = question
        self._value = value

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._question, markup=False)
            yield Input(self._value, compact=True, select_on_focus=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(clean_line(event.value) or None)

    def action_give_up(self) -> None:
        self.dismiss(None)


class HelpScreen(Dialog[None]):
    """All keys and commands, from the one table."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,q", "close", priority=True)]

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog -tall"):
            yield Static("Keys and commands", classes="title")
            rows = [(action.key, action.command, action.help) for action in ACTIONS]
            yield Static(_columns(rows), markup=False)
            for title, keys in (("In the prompt", PROMPT_KEYS), ("In the list", LIST_KEYS)):
                yield Static(title, classes="title")
                yield Static(_columns(keys), markup=False)

    def action_close(self) -> None:
        self.dismiss(None)


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )
