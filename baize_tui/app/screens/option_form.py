"""A form with one row for each option, made from the schema of the settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from msgspec import Struct
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Input, Static, TextArea

from baize_shared.sanitizer import clean_text
from baize_tui.app.widgets.choice_lists import ChoiceSelect
from baize_tui.app.widgets.text_fields import LineInput, TextBox
from baize_tui.setting_fields import SettingField
from baize_tui.settings import SettingsError
from baize_tui.translation import msg, tr

DEFAULT, ON, OFF = msg("(default)"), msg("on"), msg("off")

_SEVERAL_LINES = ("chat.system", "conversation.stop")
"""Options with texts of several lines."""

OptionValue = bool | int | float | str | None
SaveOption = Callable[[SettingField, OptionValue], Awaitable[None]]
"""Saves a new value of a field; a ``SettingsError`` says why the value is not allowed."""


class Option(Struct, frozen=True):
    """An option of the form; if its ``value`` is None, ``default`` applies."""

    field: SettingField
    value: OptionValue
    default: OptionValue
    choices: tuple[str, ...] = ()

    @property
    def effective(self) -> OptionValue:
        """The value that applies."""
        return self.default if self.value is None else self.value

    @property
    def differs(self) -> bool:
        return self.value is not None and self.value != self.default


class OptionRow(Vertical):
    """An option with its control; a mark shows that it differs from its default.

    An empty text, or the choice of the default, resets it.
    """

    DEFAULT_CSS = """
    OptionRow {
        height: auto;

        & > Horizontal { height: auto; }
        .name { width: 23; }
        .name.-differs { color: $primary; text-style: bold; }
        .error { color: $error; margin: 0 0 0 23; display: none; }
        Input, Select { width: 36; }
        TextArea { width: 1fr; height: auto; max-height: 6; padding: 0; }
        &.-current .name { background: $primary; color: $background; }
    }
    """

    def __init__(self, option: Option, save: SaveOption) -> None:
        super().__init__()
        self.option = option
        self._save = save
        self._error = ""
        """Why the text is not allowed."""

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static(tr(self.option.field.title), classes="name", markup=False)
            yield self._control()
        yield Static("", classes="error", markup=False)

    def _control(self) -> Widget:
        option = self.option
        if option.field.name in _SEVERAL_LINES:
            return TextBox(str(option.effective or ""), compact=True, show_line_numbers=False)
        default = "" if option.default is None else _value_text(option.default)
        if option.field.kind is bool or option.choices:
            # The blank choice is the default.
            is_switch = option.field.kind is bool
            values: tuple[OptionValue, ...] = (True, False) if is_switch else option.choices
            if option.value is not None and option.value not in values:
                values = (*values, option.value)  # from the file, such as the path of a model
            rows = [(_value_text(value), value) for value in values]
            value = option.value if option.value in values else ChoiceSelect.NULL
            prompt = f"{default} {tr(DEFAULT)}".strip()
            return ChoiceSelect(rows, prompt=prompt, compact=True, value=value)
        text = "" if option.value is None else str(option.value)
        return LineInput(text, placeholder=default or tr(DEFAULT), compact=True)

    def on_mount(self) -> None:
        self._show_mark()

    def _show_mark(self) -> None:
        name = self.query_one(".name", Static)
        name.set_class(self.option.differs, "-differs")
        name.update(f"{'•' if self.option.differs else ' '} {tr(self.option.field.title)}")

    async def change(self, value: OptionValue) -> bool:
        """Save ``value``, None for the default; False if it is not allowed."""
        option = self.option
        if option.field.optional is False and value == option.default:
            value = None
        if value == option.value:
            return self._show_error("")
        try:
            await self._save(option.field, value)
        except SettingsError as error:
            return self._show_error(str(error))
        self.option = Option(option.field, value, option.default, option.choices)
        self._show_mark()
        return self._show_error("")

    def _show_error(self, text: str) -> bool:
        self._error = text
        error = self.query_one(".error", Static)
        error.update(text)
        error.display = bool(text)
        return not text

    @property
    def text(self) -> str:
        """The text that is written; empty in a row with choices."""
        texts = [
            *(line.value for line in self.query(Input)),
            *(a.text for a in self.query(TextArea)),
        ]
        return texts[0] if texts else ""

    def offer_discard(self, hint: str) -> None:
        """Add to the error how to leave the form without this text, and take the focus."""
        error = self.query_one(".error", Static)
        error.update(f"{self._error} · {hint}")
        self.screen.set_focus(self.query("Input, TextArea").first())

    async def save_text(self) -> bool:
        """Save the text of the row; False if it is not allowed."""
        for control in self.query(Input):
            if not control.value.strip():
                return await self.change(None)
            try:
                return await self.change(self.option.field.parse(control.value.strip()))
            except SettingsError as error:
                return self._show_error(str(error))
        for area in self.query(TextArea):
            text = clean_text(area.text).strip()
            return await self.change(None if self.option.field.optional and not text else text)
        return True

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if await self.save_text():
            self.screen.focus_next()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.add_class("-current")

    async def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        self.set_class(self.has_focus_within, "-current")
        await self.save_text()

    async def on_select_changed(self, event: ChoiceSelect.Changed) -> None:
        value = None if event.value is ChoiceSelect.NULL else event.value
        await self.change(cast(OptionValue, value))


def _value_text(value: OptionValue) -> str:
    return (tr(ON) if value else tr(OFF)) if isinstance(value, bool) else str(value)


class FormPart(Struct, frozen=True):
    """Options under a title."""

    title: str
    options: list[Option]


class OptionForm(Vertical):
    """Rows in parts with titles."""

    DEFAULT_CSS = "OptionForm { height: auto; }"

    def __init__(
        self,
        parts: Sequence[FormPart],
        save: SaveOption,
    ) -> None:
        super().__init__()
        self._parts = parts
        self._save = save

    def compose(self) -> ComposeResult:
        for part in self._parts:
            yield Static(part.title, classes="part", markup=False)
            for option in part.options:
                yield OptionRow(option, self._save)

    async def save_all(self) -> OptionRow | None:
        """Save the texts of the rows, up to the first that is not allowed, which is returned."""
        for row in self.query(OptionRow):
            if not await row.save_text():
                return row
        return None
