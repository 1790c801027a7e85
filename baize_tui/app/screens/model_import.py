"""Adding a model or an adapter: a file or folder of this machine, or a name on the hub."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
from textual import getters, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from baize_convert.failures import ConvertError
from baize_convert.hub.names import HUB_PREFIX
from baize_shared.existing_paths import exists
from baize_shared.sanitizer import clean_line
from baize_shared.sizes import size_text
from baize_tui.app.screens.dialogs import Dialog, LineDialog
from baize_tui.app.screens.picker import Choice, Picker
from baize_tui.app.state import ClientState
from baize_tui.app.widgets.path_input import PathInput
from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.finding import known_models
from baize_tui.catalog.importing import (
    Importable,
    ImportOptions,
    check_name_is_free,
    examine_file,
    import_file,
)
from baize_tui.catalog.recipes import CatalogError, CatalogModel, check_name
from baize_tui.engine.client import EngineFailure, WorkerEngine
from baize_tui.translation import msg, tr

PATH_QUESTION = msg("Path of a GGUF model, LoRA or adapter folder, or hf:owner/name[:quant]")
BASE_QUESTION = msg("The model that the adapter is for")
NAME_QUESTION = msg("{name} exists already: another name")
PATH_KEYS = msg("tab: complete the path · esc: cancel")
LINK = msg("link to the file")
COPY = msg("copy the file ({size})")
LOOKING = msg("looking at {path}")

Found = Importable | CatalogModel
"""What is to be added; a model on the hub has to be downloaded."""
_LONGEST_REASON = 500
_FAILURES = (CatalogError, ConvertError, EngineFailure, OSError)


def parse_path(text: str) -> str:
    """The path in ``text``, which a terminal may have quoted when a file was dropped on it."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    if text.startswith("file://"):
        text = unquote(urlsplit(text).path)
    if not exists(Path(text)) and "\\ " in text:
        text = text.replace("\\ ", " ")
    return text


class PathDialog(Dialog[Found | None]):
    """Asks for a path until there is something that can be added; says what is wrong with it."""

    DEFAULT_CSS = "PathDialog #state { height: auto; margin: 1 0 0 0; &.-problem {color: $error;} }"
    _state = getters.query_one("#state", Static)

    def __init__(self, engine: WorkerEngine) -> None:
        super().__init__()
        self._engine = engine

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(tr(PATH_QUESTION), classes="title", markup=False)
            yield PathInput(compact=True, select_on_focus=False)
            yield Static(tr(PATH_KEYS), id="state", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if path := parse_path(event.value):
            self._look_at(path)

    @work(group="look", exclusive=True)
    async def _look_at(self, path: str) -> None:
        self._show(tr(LOOKING, path=clean_line(path)))
        try:
            self.dismiss(await _find(path, self._engine))
        except _FAILURES as error:
            self._show(str(error), problem=True)

    def _show(self, text: str, *, problem: bool = False) -> None:
        self._state.set_class(problem, "-problem")
        self._state.update(clean_line(text, _LONGEST_REASON))


async def _find(path: str, engine: WorkerEngine) -> Found:
    if path.startswith(HUB_PREFIX):
        from baize_tui.catalog.hub_models import hub_model

        return await asyncio.to_thread(hub_model, path)
    return await examine_file(Path(path), engine)


class ModelImport:
    """Asks what to add and how, in this order, and adds it; ``show`` receives the progress."""

    def __init__(self, state: ClientState, screen: Dialog[str | None]) -> None:
        self._state = state
        self._app = screen.app
        self._screen = screen

    async def run(
        self, base: str | None, show: Callable[[str], None], hub_name: str | None = None
    ) -> CatalogModel | CatalogAdapter | None:
        """What was added, or a model on the hub, which was not; None if the person cancels.

        ``base`` is the model in use: what an adapter's folder is for. With ``hub_name`` the person
        has named the model already.

        Raises:
            CatalogError, ConvertError, EngineFailure, OSError: as their messages say.
        """
        async with self._engine(show) as engine:
            if hub_name is not None:
                show(tr(LOOKING, path=clean_line(hub_name)))
                found: Found | None = await _find(hub_name, engine)
            else:
                found = await self._app.push_screen_wait(PathDialog(engine))
            if found is None:
                return None
            if isinstance(found, CatalogModel):
                if (same := self._known(found)) is not None:
                    return same
                name = await self._free_name(found.name)
                return None if name is None else msgspec.structs.replace(found, name=name)
            options = await self._ask_options(found, base)
            if options is None:
                return None
            show(tr("importing {name}", name=clean_line(found.path.name)))
            return await import_file(found.path, options, self._state.paths, engine)

    def _known(self, found: CatalogModel) -> CatalogModel | None:
        """The recipe of the same model on the hub, if there is one."""
        for model in known_models(self._state.paths):
            recipe = model.recipe
            if (recipe.origin, recipe.outtype) == (found.recipe.origin, found.recipe.outtype):
                return model
        return None

    @contextlib.asynccontextmanager
    async def _engine(self, show: Callable[[str], None]) -> AsyncIterator[WorkerEngine]:
        def warn(text: str) -> None:
            self._screen.notify(text, severity="warning", timeout=20, markup=False)

        engine = WorkerEngine(self._state.paths, warn)
        engine.on_progress = lambda done: show(tr("testing the model {part}", part=f"{done:.0%}"))
        try:
            yield engine
        finally:
            await engine.close()

    async def _ask_options(self, found: Importable, base: str | None) -> ImportOptions | None:
        """How to import ``found``; None if the person cancels."""
        copy: bool | None = False
        if found.kind == "adapter folder":
            base = base or await self._ask_base()
            if base is None:
                return None
        else:
            base = None
            size = size_text(found.bytes)
            choices = (Choice(False, tr(LINK)), Choice(True, tr(COPY, size=size)))
            question = tr("Import {name}", name=clean_line(found.path.name))
            copy = await self._app.push_screen_wait(Picker(question, choices))
        name = await self._free_name(found.name) if copy is not None else None
        if copy is None or name is None:
            return None
        return ImportOptions(name=name, copy=copy, base=base)

    async def _ask_base(self) -> str | None:
        choices = [Choice(name, name) for name in self._state.model_names]
        return await self._app.push_screen_wait(Picker(tr(BASE_QUESTION), choices))

    async def _free_name(self, name: str) -> str | None:
        """``name``, or another one that is not taken; None if the person cancels."""
        while True:
            try:
                check_name_is_free(check_name(name), self._state.paths)
            except CatalogError:
                question = tr(NAME_QUESTION, name=name)
                chosen = await self._app.push_screen_wait(LineDialog(question, f"{name}-2"))
                if chosen is None:
                    return None
                name = chosen
            else:
                return name
