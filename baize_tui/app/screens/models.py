"""All models and adapters: which are installed, which fit; choose, pull, import and remove them."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import getters, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option, OptionDoesNotExist

from baize_convert.failures import ConvertError
from baize_shared.user_paths import expand_user
from baize_tui.app.screens.dialogs import ConfirmDialog, Dialog, LineDialog
from baize_tui.app.screens.model_texts import Entry, adapter_hint, details_text, row_text
from baize_tui.app.screens.picker import SEARCH, Choice, Picker
from baize_tui.app.services.background_pulls import PullEvent, PullProgress
from baize_tui.app.state import ClientState
from baize_tui.app.widgets.fuzzy import best_matches
from baize_tui.catalog.adapters import broken_adapters, known_adapters
from baize_tui.catalog.recipes import CatalogError, CatalogModel, broken_models, known_models
from baize_tui.engine.client import EngineFailure

TITLE = "Models and adapters"
HINTS = "enter use or pull · f5 cost · f6 import · del remove · esc close"
IMPORT_QUESTION = "Path of a GGUF model, a GGUF LoRA or an adapter folder"
IMPORT_CHOICES = (Choice(False, "link to the file"), Choice(True, "copy the file"))
"""The value says whether the file is copied."""
ACCEPT = "accept"


class ModelsScreen(Dialog[str | None]):
    """Chooses a model; on the way it shows, pulls, imports and removes models."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", priority=True),
        Binding("up", "move(-1)", priority=True),
        Binding("f5", "cost", priority=True),
        Binding("f6", "import", priority=True),
        Binding("delete", "remove", priority=True),
    ]
    DEFAULT_CSS = """
    ModelsScreen {
        .dialog { height: 94%; }
        OptionList {
            height: 1fr;
            max-height: 100%;
            scrollbar-size-vertical: 1;
            scrollbar-background: $panel;
        }
        #details { height: auto; max-height: 8; margin: 1 0 0 0; color: $foreground 80%; }
        #notice { height: auto; max-height: 2; color: $error; display: none; }
        #notice.-busy { color: $primary; }
        .about { margin: 1 0 0 0; }
    }
    """
    _search = getters.query_one(Input)
    _options = getters.query_one(OptionList)
    _details = getters.query_one("#details", Static)
    _notice = getters.query_one("#notice", Static)

    def __init__(self, state: ClientState, current: str | None) -> None:
        """``current`` is the name of the model in use."""
        super().__init__()
        self._state = state
        self._current = current
        self._options_key = state.keys["conversation"]
        self._entries: dict[str, Entry] = {}
        self._remove_pressed = ""
        """The name on which the person pressed Delete once."""
        self._notice_about = ""
        """The name that was highlighted when the notice was shown."""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -tall"):
            yield Static(TITLE, classes="title", markup=False)
            yield Input(placeholder=SEARCH, compact=True)
            yield OptionList(id="choices", compact=True, markup=False)
            yield Static("", id="details", markup=False)
            yield Static("", id="notice", markup=False)
            yield Static(HINTS, classes="about", markup=False)

    def on_mount(self) -> None:
        self._state.pulls.events.subscribe(self, self._follow_pull)
        self._read()
        self._fill()
        if self._current is not None:
            self._highlight(self._current)
        self._show_broken_recipes()
        self._measure_installed()

    # --- what is shown --------------------------------------------------------------------------

    @property
    def _highlighted(self) -> Entry | None:
        option = self._options.highlighted_option
        return self._entries.get(option.id) if option is not None and option.id else None

    def _highlight(self, name: str) -> None:
        with contextlib.suppress(OptionDoesNotExist):
            self._options.highlighted = self._options.get_option_index(name)

    def _read(self) -> None:
        paths = self._state.paths
        try:
            entries: list[Entry] = [*known_models(paths), *known_adapters(paths)]
        except CatalogError as error:
            self._show_notice(str(error))
            return
        self._entries = {entry.name: entry for entry in entries}

    def _show_broken_recipes(self) -> None:
        broken = [*broken_models(self._state.paths), *broken_adapters(self._state.paths)]
        if broken:
            more = f" ({len(broken) - 1} more: baize-tui doctor)" if len(broken) > 1 else ""
            self._show_notice(f"{broken[0]}{more}")

    @on(Input.Changed)
    def _fill(self) -> None:
        """Show the matches; unless the person is searching, the same entry stays highlighted."""
        query, before = self._search.value, self._highlighted
        matches = best_matches(query, self._entries.values(), lambda e: f"{e.name} {e.title}")
        self._options.clear_options()
        self._options.add_options(Option(self._row(entry), id=entry.name) for entry in matches)
        names = [entry.name for entry in matches]
        stays = before is not None and not query and before.name in names
        self._options.highlighted = names.index(before.name) if before and stays else 0
        self._show_details()

    def _row(self, entry: Entry) -> str:
        return row_text(
            entry,
            in_use=entry.name == self._current,
            pulled_part=self._state.pulls.part(entry.name),
            plan=self._state.plans.get(entry.name),
        )

    def _update_rows(self) -> None:
        for index in range(self._options.option_count):
            option = self._options.get_option_at_index(index)
            entry = self._entries.get(option.id or "")
            if entry is not None and (row := self._row(entry)) != str(option.prompt):
                self._options.replace_option_prompt_at_index(index, row)

    def _show_details(self) -> None:
        entry = self._highlighted
        text = ""
        if entry is not None:
            text = details_text(entry, self._state.plans.get(entry.name), self._options_key)
        self._details.update(text)

    def _show_notice(self, text: str, *, busy: bool = False) -> None:
        self._notice.set_class(busy, "-busy")
        self._notice.display = bool(text)
        self._notice_about = self._highlighted.name if self._highlighted is not None else ""
        self._notice.update(text)

    def _follow_pull(self, event: PullEvent) -> None:
        if not isinstance(event, PullProgress):
            self._read()
            self._measure_installed()
        self._update_rows()

    @on(OptionList.OptionHighlighted)
    def _forget_notice(self) -> None:
        entry = self._highlighted
        if entry is None or entry.name != self._notice_about:
            self._remove_pressed = ""
            self._show_notice("")
        self._show_details()

    def action_move(self, step: int) -> None:
        if step > 0:
            self._options.action_cursor_down()
        else:
            self._options.action_cursor_up()

    # --- choosing and pulling -------------------------------------------------------------------

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _use_or_pull(self) -> None:
        entry = self._highlighted
        if entry is None:
            return
        if entry.path is None:
            self._pull(entry)
        elif isinstance(entry, CatalogModel):
            self.dismiss(entry.name)
        else:
            self._show_notice(adapter_hint(self._options_key))

    @work(group="pull")
    async def _pull(self, entry: Entry) -> None:
        name, notice = entry.name, entry.recipe.notice
        on_hub = entry.recipe.is_on_hub if isinstance(entry, CatalogModel) else entry.recipe.adapter
        if not on_hub:
            self._show_notice(f"{name} is not on the hub, and its file is missing")
            return
        if notice:
            dialog = ConfirmDialog(f"Pull {name}?", notice, ACCEPT)
            if not await self.app.push_screen_wait(dialog):
                return
        self._state.pulls.start(name)

    # --- costs ----------------------------------------------------------------------------------

    def _measure_installed(self) -> None:
        """Find out whether the installed models fit, one after the other, in the background."""
        models = [
            entry
            for name, entry in self._entries.items()
            if isinstance(entry, CatalogModel) and entry.path and name not in self._state.plans
        ]
        self.run_worker(self._measure(models), group="measure", exclusive=True)

    def action_cost(self) -> None:
        entry = self._highlighted
        if isinstance(entry, CatalogModel):
            self._show_notice(f"measuring {entry.name}", busy=True)
            work = self._measure([entry], show_result=True)
            self.run_worker(work, group="cost", exclusive=True)

    async def _measure(self, models: list[CatalogModel], *, show_result: bool = False) -> None:
        # Imported when used: it reads checkpoints and hub files.
        from baize_tui.app.services.model_plans import PlanFailure, plan_models

        results = plan_models(models, self._state.paths, self._state.settings)
        async with contextlib.aclosing(results):
            async for result in results:
                if not isinstance(result, PlanFailure):
                    self._state.plans[result.name] = result
                    self._update_rows()
                    self._show_details()
                if show_result:
                    self._show_notice(result.reason if isinstance(result, PlanFailure) else "")

    # --- importing and removing -----------------------------------------------------------------

    @work(group="import")
    async def action_import(self) -> None:
        path = await self.app.push_screen_wait(LineDialog(IMPORT_QUESTION))
        if path is None:
            return
        question = f"Import {Path(path).name}"
        copy = await self.app.push_screen_wait(Picker(question, IMPORT_CHOICES))
        if copy is not None:
            self._show_notice(f"importing {path}", busy=True)
            await self._import(Path(path), copy=copy)

    async def _import(self, path: Path, *, copy: bool) -> None:
        # Imported when used: it reads checkpoints.
        from baize_tui.catalog.importing import ImportOptions, import_file
        from baize_tui.engine.client import WorkerEngine

        warn = partial(self.notify, severity="warning", timeout=20, markup=False)
        engine = WorkerEngine(self._state.paths, warn)
        engine.on_progress = lambda done: self._show_notice(
            f"testing {path.name} {done:.0%}", busy=True
        )
        try:
            # A folder is an adapter's, for the model in use.
            base = self._current if expand_user(path).is_dir() else None
            imported = await import_file(
                path, ImportOptions(copy=copy, base=base), self._state.paths, engine
            )
        except (CatalogError, ConvertError, EngineFailure, OSError) as error:
            self._show_notice(str(error))
            return
        finally:
            await engine.close()
        self._read()
        self._fill()
        self._highlight(imported.name)
        self._show_notice(f"{imported.name} is ready", busy=True)
        self._measure_installed()

    def action_remove(self) -> None:
        """Stop the pull of the highlighted entry, or remove it when pressed twice."""
        entry = self._highlighted
        if entry is None:
            return
        name, in_use = entry.name, self._state.chat.active_model.model
        if self._state.pulls.stop(name):
            self._show_notice(f"stopped pulling {name}; pulling it again resumes")
        elif in_use is not None and in_use.name == name:
            self._show_notice(f"{name} is in use: choose another model first")
        elif self._remove_pressed != name:
            self._remove_pressed = name
            self._show_notice(f"press del again to remove {name}")
        else:
            self._remove(entry)

    def _remove(self, entry: Entry) -> None:
        # Imported when used: few people remove a model.
        from baize_tui.catalog.removing import remove, remove_adapter

        try:
            if isinstance(entry, CatalogModel):
                remove(entry, self._state.paths)
            else:
                remove_adapter(entry, self._state.paths)
        except (CatalogError, OSError) as error:
            self._show_notice(str(error))
            return
        self._state.plans.pop(entry.name, None)
        self._read()
        self._fill()
        self._show_notice(f"removed {entry.name}", busy=True)
