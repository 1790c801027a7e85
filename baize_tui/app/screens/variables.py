"""The variables of a prompt, to be filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import getters
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Input, Static

from baize_tui.app.screens.dialogs import Dialog
from baize_tui.app.screens.option_form import FormPart, Option, OptionForm, OptionValue
from baize_tui.setting_fields import SettingField
from baize_tui.translation import msg, tr

PART = msg("variables")
HINT = msg("enter goes on, and after the last one puts the prompt in · esc cancels")


class VariablesScreen(Dialog[dict[str, str] | None]):
    """Asks for the value of each variable; the result is None when the person cancels."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "next", priority=True),
        Binding("down", "app.focus_next"),
        Binding("up", "app.focus_previous"),
    ]
    DEFAULT_CSS = """
    VariablesScreen {
        .body { height: auto; max-height: 20; scrollbar-size-vertical: 1; }
        Input { width: 1fr; }
    }
    """
    _form = getters.query_one(OptionForm)

    def __init__(self, name: str, variables: Mapping[str, str]) -> None:
        """``variables`` are the values by default, by name, of the prompt ``name``."""
        super().__init__()
        self._title_text = name
        self._values = dict(variables)
        self._defaults = dict(variables)

    def compose(self) -> ComposeResult:
        options = [_option(name, value) for name, value in self._defaults.items()]
        with Vertical(classes="dialog"):
            yield Static(self._title_text, classes="title", markup=False)
            with VerticalScroll(classes="body", can_focus=False):
                yield OptionForm([FormPart(tr(PART), options)], self._save)
            yield Static(tr(HINT), classes="about", markup=False)

    async def _save(self, field: SettingField, value: OptionValue) -> None:
        self._values[field.key] = self._defaults[field.key] if value is None else str(value)

    async def action_next(self) -> None:
        """Go to the next variable; after the last one, end with what was filled in."""
        inputs = [*self.query(Input)]
        if self.focused is inputs[-1]:
            await self._form.save_all()
            self.dismiss(self._values)
        else:
            self.focus_next()


def _option(name: str, value: str) -> Option:
    field = SettingField(
        table="variables",
        key=name,
        kind=str,
        type=str,
        optional=True,
        default=value or None,
        description="",
    )
    return Option(field, None, value or None)
