"""A form in a panel: the settings and the options of a conversation are shown in it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from textual import events, getters
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from baize_tui.app.screens.dialogs import Dialog
from baize_tui.app.screens.option_form import (
    FormPart,
    OptionForm,
    OptionRow,
    OptionValue,
    SaveOption,
)
from baize_tui.setting_fields import SettingField
from baize_tui.translation import msg, tr

DISCARDS = msg("esc again discards it")
HINT = msg("tab moves · empty: default · • differs from the default · esc closes")


class OptionsScreen(Dialog[None]):
    """Shows a form; what is written in a row is saved when the row loses the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next"),
        Binding("up", "app.focus_previous"),
    ]
    DEFAULT_CSS = """
    OptionsScreen {
        .dialog { height: 94%; }
        .body { height: 1fr; scrollbar-size-vertical: 1; scrollbar-background: $panel; }
        #description { height: 2; margin: 1 0 0 0; color: $dim; }
    }
    """
    SHOWS_KEYS: ClassVar[bool] = False
    """Whether the description of a row names its key in ``config.toml``."""
    NARROW: ClassVar[int] = 70
    """Columns of the terminal below which each value is below its name."""
    _form = getters.query_one(OptionForm)
    _description = getters.query_one("#description", Static)

    def __init__(self, title: str, hint: str, parts: Sequence[FormPart], save: SaveOption) -> None:
        super().__init__()
        self._title_text = title
        self._hint = hint
        self._parts = parts
        self._save = save
        self._saving = asyncio.Lock()
        self._refused: tuple[OptionRow, str] | None = None
        """The row that kept the form open, and its text: closing again discards that."""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -tall"):
            yield Static(self._title_text, classes="title", markup=False)
            yield Static(self._hint, classes="about", markup=False)
            with VerticalScroll(classes="body", can_focus=False):
                yield OptionForm(self._parts, self._save_one_by_one)
            yield Static("", id="description", markup=False)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < self.NARROW, "-narrow")

    async def _save_one_by_one(self, field: SettingField, value: OptionValue) -> None:
        """Rows may change at the same time: each starts from what the one before has saved."""
        async with self._saving:
            await self._save(field, value)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        for row in event.widget.ancestors:
            if isinstance(row, OptionRow):
                field = row.option.field
                key = f" ({field.name})" if self.SHOWS_KEYS else ""
                self._description.update(f"{tr(field.description)}{key}")

    async def action_close(self) -> None:
        row = await self._form.save_all()
        refused = (row, row.text) if row is not None else None
        if row is None or refused == self._refused:
            self.dismiss(None)
        else:
            self._refused = refused
            row.offer_discard(tr(DISCARDS))
