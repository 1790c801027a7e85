"""Small screens: a question for one line, a question to confirm, the help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from baize_shared.sanitizer import clean_line
from baize_tui.app.actions import OTHER_KEYS, Action

Result = TypeVar("Result")

HELP_TITLE = "Keys and commands"
CANCEL = "esc: cancel"


class Dialog(ModalScreen[Result]):
    """A panel in the middle of the screen that Esc closes; the base of all other screens."""

    AUTO_FOCUS = "*"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", priority=True)]
    DEFAULT_CSS = """
    Dialog {
        align: center middle;
        background: $background 60%;

        .dialog {
            width: 76;
            max-width: 96%;
            height: auto;
            max-height: 94%;
            padding: 1 2;
            background: $panel;
            scrollbar-size-vertical: 1;
            scrollbar-background: $panel;
        }
        .dialog.-tall {
            width: 92;
        }
        .title {
            color: $primary;
            margin: 0 0 1 0;
        }
        .part {
            color: $primary;
            margin: 1 0 0 0;
        }
        .about {
            color: $foreground 60%;
        }
        Input, TextArea, Select > SelectCurrent {
            background: $surface;
        }
        OptionList {
            height: auto;
            max-height: 14;
            margin: 1 0 0 0;
            background: $panel;
        }
    }
    """

    async def action_close(self) -> None:
        self.dismiss(None)

    async def on_click(self, event: events.Click) -> None:
        if event.widget is self:
            await self.run_action("close")  # beside the panel


class LineDialog(Dialog[str | None]):
    """Asks for one line; the result is None when the person cancels."""

    def __init__(self, question: str, value: str = "") -> None:
        super().__init__()
        self._question = question
        self._value = value

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._question, classes="title", markup=False)
            yield Input(self._value, compact=True, select_on_focus=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(clean_line(event.value) or None)


class ConfirmDialog(Dialog[bool | None]):
    """Asks for a confirmation; the result is True for yes."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,y", "yes", priority=True)]

    def __init__(self, question: str, text: str, yes: str) -> None:
        super().__init__()
        self._question = question
        self._text = text
        self._yes = yes

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._question, classes="title", markup=False)
            yield Static(self._text, markup=False)
            yield Static(f"\nenter: {self._yes} · {CANCEL}", classes="about", markup=False)

    def action_yes(self) -> None:
        self.dismiss(True)


class HelpScreen(Dialog[None]):
    """All keys and commands, from ``actions``."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("f1,q", "close", priority=True)]

    def __init__(self, actions: Sequence[Action]) -> None:
        super().__init__()
        self._actions = actions

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog -tall"):
            yield Static(HELP_TITLE, classes="title")
            rows = [(action.key, action.command, action.help) for action in self._actions]
            yield Static(_columns(rows), markup=False)
            for title, keys in OTHER_KEYS:
                yield Static(title, classes="part")
                yield Static(_columns(keys), markup=False)


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )
