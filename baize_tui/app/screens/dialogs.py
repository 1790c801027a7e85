"""Small screens: a question for one line, a question to confirm, the help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, TypeVar

from rich.cells import cell_len, set_cell_size
from textual import events
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from baize_shared.sanitizer import clean_line
from baize_tui.app.actions import ACTION_GROUPS, OTHER_KEYS, Action, keys_text
from baize_tui.app.line_breaks import has_ideographs, line_ends
from baize_tui.app.widgets.text_fields import LineInput
from baize_tui.translation import msg, tr

Result = TypeVar("Result")

_ANY_WIDTH = 1 << 20
_GAP, _LAST_COLUMN = 2, 24
"""Cells between two columns, and what the last one needs to be readable."""
HELP_TITLE = msg("Keys and commands")
CONFIRM = msg("enter: {action}")
CANCEL, CLOSE = msg("esc: cancel"), msg("esc: close")


class Dialog(ModalScreen[Result]):
    """A panel in the middle of the screen that Esc closes; the base of all other screens."""

    AUTO_FOCUS = "*"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", priority=True),
        # The app's own bindings do not reach a modal screen.
        Binding("ctrl+c,super+c", "screen.copy_text", show=False),
        Binding("ctrl+c", "app.interrupt", show=False),
    ]
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
        .part.-first {
            margin: 0;
        }
        .about {
            color: $dim;
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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Let no key run an action while the widgets that it works on do not exist yet.

        Textual 8.2.8 runs bindings from the moment a screen is pushed, before it is composed.
        """
        return self.is_mounted and super().check_action(action, parameters)

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Close the dialog with a result, unless it is closed already.

        Textual 8.2.8 would close the screen below, or raise ``ScreenStackError``, for a key or a
        click that comes while this one is closing.
        """
        return super().dismiss(result) if self.is_active else AwaitComplete()

    async def action_close(self) -> None:
        self.dismiss(None)

    async def on_click(self, event: events.Click) -> None:
        if event.widget is self:
            await self.run_action("close")  # beside the panel


class LineDialog(Dialog[str | None]):
    """Asks for one line; the result is None when the person cancels, or leaves it empty where it
    must not be."""

    def __init__(self, question: str, value: str = "", *, may_be_empty: bool = False) -> None:
        super().__init__()
        self._question = question
        self._value = value
        self._may_be_empty = may_be_empty

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._question, classes="title", markup=False)
            yield LineInput(self._value, compact=True, select_on_focus=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        line = clean_line(event.value)
        self.dismiss(line if line or self._may_be_empty else None)


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
            yield Static(
                f"\n{tr(CONFIRM, action=self._yes)} · {tr(CANCEL)}", classes="about", markup=False
            )

    def action_yes(self) -> None:
        self.dismiss(True)


class NoteDialog(Dialog[None]):
    """A text to read."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,q", "close", priority=True)]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title_text = title
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog"):
            yield Static(self._title_text, classes="title", markup=False)
            yield Static(self._text, markup=False)
            yield Static(f"\n{tr(CLOSE)}", classes="about", markup=False)


class HelpScreen(Dialog[None]):
    """All keys and commands, from ``actions``."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("f1,q", "close", priority=True)]

    def __init__(self, actions: Sequence[Action]) -> None:
        super().__init__()
        self._actions = actions

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog -tall"):
            yield Static(tr(HELP_TITLE), classes="title")
            rows = {each.id: (keys_text(each), each.usage, tr(each.help)) for each in self._actions}
            for number, (group, actions) in enumerate(ACTION_GROUPS):
                yield Static(tr(group), classes="part" if number else "part -first")
                yield Columns([rows[each.id] for each in actions], [*rows.values()])
            for title, keys in OTHER_KEYS:
                yield Static(tr(title), classes="part")
                yield Columns([tuple(map(tr, row)) for row in keys])


def _wrapped(text: str, width: int) -> Iterator[str]:
    """The lines of ``text``, of at most ``width`` cells each; of one where there is no room."""
    width = max(width, 1)
    content = Content(text)
    lines = content.divide(line_ends(text, width)) if has_ideographs(text) else content.wrap(width)
    return (line.plain.rstrip() for line in lines)


class Columns(Static):
    """Rows in columns; where the last column has too little room, it is below the others."""

    def __init__(
        self, rows: Sequence[tuple[str, ...]], aligned_with: Sequence[tuple[str, ...]] = ()
    ) -> None:
        """The columns are as wide as if the rows ``aligned_with`` were among them."""
        self._aligned_with = aligned_with
        self._set_rows(rows)
        super().__init__(self._text(_ANY_WIDTH), markup=False)

    def show(self, rows: Sequence[tuple[str, ...]]) -> None:
        """Show other rows."""
        self._set_rows(rows)
        self.update(self._text(self.size.width))

    def _set_rows(self, rows: Sequence[tuple[str, ...]]) -> None:
        columns = [*zip(*rows, *self._aligned_with, strict=True)]
        self._rows = rows
        self._widths = [max(map(cell_len, column)) + _GAP for column in columns[:-1]]

    def _text(self, width: int) -> str:
        indent = sum(self._widths)
        if width - indent < _LAST_COLUMN:
            return "\n".join(self._below(width))
        lines = []
        for *cells, last in self._rows:
            head = "".join(set_cell_size(*cell) for cell in zip(cells, self._widths, strict=True))
            lines.append(head + f"\n{' ' * indent}".join(_wrapped(last, width - indent)))
        return "\n".join(lines)

    def _below(self, width: int) -> Iterator[str]:
        """The lines with the last column below the others."""
        for *cells, last in self._rows:
            yield from _wrapped("  ".join(cells), width)
            yield from (f"  {line}" for line in _wrapped(last, width - 2))

    def on_resize(self, event: events.Resize) -> None:
        self.update(self._text(event.size.width))
