"""Rows to set options in, made from the schema of the settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec import Struct
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Input, Select, Static, TextArea

from baize_shared.sanitizer import clean_text
from baize_tui.setting_fields import SettingField
from baize_tui.settings import SettingsError


class Option(Struct, frozen=True):
    """One option: ``value`` None means that ``default`` counts."""

    field: SettingField
    value: Any
    default: Any
    choices: tuple[str, ...] = ()

    @property
    def set_to(self) -> Any:
        """What counts."""
        return self.default if self.value is None else self.value

    @property
    def differs(self) -> bool:
        return self.value is not None and self.value != self.default


class OptionRow(Vertical):
    """An option with its control; a mark says that it differs from its default.

    An empty text or the choice "as by default" goes back to the default.
    """

    DEFAULT_CSS = """
    OptionRow {
        height: auto;

        & > Horizontal { height: auto; }
        .name { width: 23; }
        .name.-differs { color: $primary; text-style: bold; }
        .wrong { color: $error; margin: 0 0 0 23; display: none; }
        Input, Select { width: 36; }
        TextArea { width: 1fr; height: auto; max-height: 6; padding: 0; }
        &.-current .name { background: $primary; color: $background; }
    }
    """

    def __init__(
        self, option: Option, keep: Callable[[SettingField, Any], Awaitable[None]]
    ) -> None:
        """``keep`` is told of each change; its ``SettingsError`` is shown in the row."""
        super().__init__()
        self.option = option
        self._keep = keep

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static(self.option.field.key, classes="name", markup=False)
            yield self._control()
        yield Static("", classes="wrong", markup=False)

    def _control(self) -> Widget:
        option = self.option
        if option.field.key == "system":
            return TextArea(option.set_to, compact=True, show_line_numbers=False)
        default = "" if option.default is None else _as_word(option.default)
        if option.field.kind is bool or option.choices:
            # Blank is the default.
            values: tuple[Any, ...] = (True, False) if option.field.kind is bool else option.choices
            if option.value is not None and option.value not in values:
                values = (*values, option.value)  # written by hand, such as a model's path
            rows = [(_as_word(value), value) for value in values]
            chosen = {"value": option.value} if option.value in values else {}
            return Select(rows, prompt=f"{default} (default)".strip(), compact=True, **chosen)
        text = "" if option.value is None else str(option.value)
        return Input(text, placeholder=default or "(default)", compact=True)

    def on_mount(self) -> None:
        self._show_mark()

    def _show_mark(self) -> None:
        name = self.query_one(".name", Static)
        name.set_class(self.option.differs, "-differs")
        name.update(f"{'•' if self.option.differs else ' '} {self.option.field.key}")

    async def take(self, value: Any) -> bool:
        """Keep ``value`` (None: the default); False says that it cannot be."""
        option = self.option
        if option.field.optional is False and value == option.default:
            value = None
        if value == option.value:
            return self._complain("")
        try:
            await self._keep(option.field, value)
        except SettingsError as error:
            return self._complain(str(error))
        self.option = Option(option.field, value, option.default, option.choices)
        self._show_mark()
        return self._complain("")

    def _complain(self, text: str) -> bool:
        wrong = self.query_one(".wrong", Static)
        wrong.update(text)
        wrong.display = bool(text)
        return not text

    async def take_text(self) -> bool:
        """Keep what is written in the row; False says that it cannot be."""
        for control in self.query(Input):
            if not control.value.strip():
                return await self.take(None)
            try:
                return await self.take(self.option.field.parse(control.value.strip()))
            except SettingsError as error:
                return self._complain(str(error))
        for area in self.query(TextArea):
            return await self.take(clean_text(area.text).strip())
        return True

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if await self.take_text():
            self.screen.focus_next()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.add_class("-current")

    async def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        self.set_class(self.has_focus_within, "-current")
        await self.take_text()

    async def on_select_changed(self, event: Select.Changed) -> None:
        await self.take(None if event.value is Select.NULL else event.value)


def _as_word(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


class OptionForm(Vertical):
    """Rows under titles."""

    DEFAULT_CSS = "OptionForm { height: auto; }"

    def __init__(
        self,
        parts: Sequence[tuple[str, Sequence[Option]]],
        keep: Callable[[SettingField, Any], Awaitable[None]],
    ) -> None:
        super().__init__()
        self._parts = parts
        self._keep = keep

    def compose(self) -> ComposeResult:
        for title, options in self._parts:
            yield Static(title, classes="part", markup=False)
            for option in options:
                yield OptionRow(option, self._keep)

    async def take_all(self) -> bool:
        """Keep what is written in every row; False where one cannot be, which is then in focus."""
        for row in self.query(OptionRow):
            if not await row.take_text():
                row.query("Input, TextArea").first().focus()
                return False
        return True
