"""Asks what to export, in which format, and to which file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from msgspec import Struct
from textual import getters, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Input, Select, Static

from baize_shared.sanitizer import clean_line
from baize_shared.user_paths import expand_user
from baize_tui.app.screens.dialogs import Dialog
from baize_tui.app.widgets.choice_lists import ChoiceSelect
from baize_tui.app.widgets.text_fields import LineInput
from baize_tui.chat.export_files import ExportFailed, check_replaces_nothing
from baize_tui.chat.exports.rendering import FORMATS, ExportFormat, Format
from baize_tui.chat.exports.words import file_name
from baize_tui.store.records import Conversation
from baize_tui.translation import msg, tr

TITLE = msg("Export")
THIS, ALL = msg("this one: {title}"), msg("all conversations")
HINT = msg("tab: next · enter in the last line: write the file · esc: cancel")
REPLACES = msg("enter again replaces it")
NO_NAME = msg("a name is needed")
_LONGEST_TITLE = 50


class ExportRequest(Struct, frozen=True):
    """What the person wants to have written."""

    everything: bool
    format: Format
    target: Path
    force: bool
    """Whether a file that exists may be replaced."""


class ExportDialog(Dialog[ExportRequest | None]):
    """The result is None when the person cancels."""

    AUTO_FOCUS = "#format"

    DEFAULT_CSS = """
    ExportDialog {
        Horizontal { height: auto; }
        .name { width: 10; }
        Select, Input { width: 1fr; }
        #state { height: auto; margin: 1 0 0 0; color: $dim; }
        #state.-problem { color: $error; }
    }
    """
    _scope = getters.query_one("#scope", ChoiceSelect)
    _format = getters.query_one("#format", ChoiceSelect)
    _target = getters.query_one("#target", Input)
    _state = getters.query_one("#state", Static)

    def __init__(self, conversation: Conversation | None) -> None:
        """``conversation`` is the one to export, if not all; None offers all only."""
        super().__init__()
        self._conversation = conversation
        self._suggested = ""
        self._refused = ""
        """The text that named a file in the way: the same text again replaces it."""

    def compose(self) -> ComposeResult:
        scopes = [(tr(ALL), True)]
        if self._conversation is not None:
            title = clean_line(self._conversation.title, _LONGEST_TITLE)
            scopes.insert(0, (tr(THIS, title=title), False))
        formats = [(f"{f.name} · {tr(f.description)}", name) for name, f in FORMATS.items()]
        with Vertical(classes="dialog"):
            yield Static(tr(TITLE), classes="title", markup=False)
            yield from self._row(
                tr("what"),
                ChoiceSelect(
                    scopes, id="scope", compact=True, allow_blank=False, value=scopes[0][1]
                ),
            )
            yield from self._row(
                tr("format"),
                ChoiceSelect(
                    formats, id="format", compact=True, allow_blank=False, value=formats[0][1]
                ),
            )
            yield from self._row(
                tr("file"), LineInput(id="target", compact=True, select_on_focus=False)
            )
            yield Static(tr(HINT), id="state", markup=False)

    def _row(self, name: str, control: Widget) -> Iterator[Widget]:
        with Horizontal():
            yield Static(name, classes="name", markup=False)
            yield control

    def on_mount(self) -> None:
        self._suggest()

    @property
    def _chosen_format(self) -> Format:
        return FORMATS[cast(ExportFormat, self._format.value)]

    @on(Select.Changed)
    def _suggest(self) -> None:
        """Suggest a file, unless the person has written a name."""
        if self._target.value not in ("", self._suggested):
            return
        format = self._chosen_format
        if self._conversation is not None and not self._scope.value:
            name = file_name(self._conversation, format.suffix)
        else:
            name = "conversations/" if format.one_each else f"conversations{format.suffix}"
        self._suggested = self._target.value = f"~/{name}"
        self._target.cursor_position = len(self._suggested)

    @on(Input.Changed, "#target")
    def _forget_problem(self) -> None:
        self._show(tr(HINT))

    @on(Input.Submitted, "#target")
    def _submit(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        if not text:
            self._show(tr(NO_NAME), problem=True)
            return
        target, force = expand_user(text).absolute(), text == self._refused
        everything = bool(self._scope.value)
        try:
            if not (everything and self._chosen_format.one_each):
                check_replaces_nothing(target, force=force)
        except ExportFailed as error:
            self._refused = text
            self._show(f"{error} · {tr(REPLACES)}", problem=True)
            return
        self.dismiss(ExportRequest(everything, self._chosen_format, target, force))

    def _show(self, text: str, *, problem: bool = False) -> None:
        self._state.set_class(problem, "-problem")
        self._state.update(clean_line(text, 500))
