"""Asks for a file with conversations of another program, and adds them."""

from __future__ import annotations

from pathlib import Path

from textual import getters, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from baize_shared.sanitizer import clean_line
from baize_shared.user_paths import expand_user
from baize_tui.app.screens.dialogs import Dialog
from baize_tui.app.screens.model_import import PATH_KEYS, parse_path
from baize_tui.app.widgets.path_input import PathInput
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.import_files import ImportSummary, import_file
from baize_tui.chat.imports.problems import ImportFailed
from baize_tui.store.errors import StoreError
from baize_tui.translation import msg, tr

QUESTION = msg("Import conversations: the path of an export")
KNOWN = msg("ChatGPT, Claude and Open WebUI (JSON or ZIP), ShareGPT, Baize corpora, our own JSON")
READING = msg("reading {name}")
READ = msg("{done} conversations read")


class ImportDialog(Dialog[ImportSummary | None]):
    """Asks until a file can be imported; says what is wrong with it."""

    DEFAULT_CSS = """
    ImportDialog #state { height: auto; margin: 1 0 0 0; &.-problem { color: $error; } }
    """
    _state = getters.query_one("#state", Static)

    def __init__(self, conversations: Conversations) -> None:
        super().__init__()
        self._conversations = conversations

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(tr(QUESTION), classes="title", markup=False)
            yield Static(tr(KNOWN), classes="about", markup=False)
            yield PathInput(compact=True, select_on_focus=False)
            yield Static(tr(PATH_KEYS), id="state", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if path := parse_path(event.value):
            self._import(expand_user(path))

    @work(group="import", exclusive=True)
    async def _import(self, path: Path) -> None:
        self._show(tr(READING, name=path.name))
        try:
            summary = await import_file(
                self._conversations, path, report=lambda done: self._show(tr(READ, done=done))
            )
        except (ImportFailed, StoreError) as error:
            self._show(str(error), problem=True)
        else:
            self.dismiss(summary)

    def _show(self, text: str, *, problem: bool = False) -> None:
        self._state.set_class(problem, "-problem")
        self._state.update(clean_line(text, 500))
