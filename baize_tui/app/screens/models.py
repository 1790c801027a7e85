"""All models and adapters: which are installed, which fit; choose, pull, import and remove them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import ClassVar

from textual import getters, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import OptionList, Static

from baize_convert.failures import ConvertError
from baize_convert.hub.names import HUB_PREFIX
from baize_shared.server_address import SERVER_PREFIX
from baize_shared.sizes import size_text
from baize_tui.app.screens.dialogs import ConfirmDialog
from baize_tui.app.screens.model_texts import (
    Entry,
    adapter_hint,
    details_text,
    download_text,
    header,
    row_text,
)
from baize_tui.app.screens.picker import Choice, Picker
from baize_tui.app.services.background_pulls import PullEvent, PullProgress
from baize_tui.app.state import ClientState
from baize_tui.app.widgets.fuzzy import best_matches
from baize_tui.catalog.adapters import broken_adapters, known_adapters
from baize_tui.catalog.finding import broken_models, known_models, model_on_server, why_missing
from baize_tui.catalog.fit import this_machine
from baize_tui.catalog.plans import ModelPlan, Plan
from baize_tui.catalog.recipes import CatalogError, CatalogModel, write_recipe
from baize_tui.engine.client import EngineFailure
from baize_tui.settings import SettingsError
from baize_tui.translation import msg, tr

TITLE = msg("Models and adapters")
HINTS = msg("enter use or pull · f5 cost · f6 add · f7 default · del remove · esc")
HUB_HINT = msg("hf:owner/name[:quant] · enter shows its size, fit and licence before the download")
DOWNLOAD, ACCEPT = msg("download"), msg("accept and download")
TOO_LITTLE_DISK = msg("too little disk: {name} takes {size}")
READY_BESIDE_DEFAULT = msg(
    "{name} is ready: enter uses it. {default} stays the default; f7 changes that"
)
NO_BASE = msg("{name} is for {base}, which is not downloaded yet: pull that first")


class ModelsScreen(Picker[str]):
    """Chooses a model, by its name or as ``server:URL#model``; on the way it shows, pulls, imports
    and removes models."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "cost", priority=True),
        Binding("f6", "import", priority=True),
        Binding("f7", "default", priority=True),
        Binding("delete", "remove", priority=True),
    ]
    DEFAULT_CSS = """
    ModelsScreen {
        .dialog { width: 92; height: 94%; }
        .header { height: 1; margin: 1 0 0 0; color: $dim; text-wrap: nowrap; }
        OptionList {
            margin: 0;
            height: 1fr;
            max-height: 100%;
            text-wrap: nowrap;
            text-overflow: ellipsis;
            scrollbar-size-vertical: 1;
            scrollbar-background: $panel;
        }
        #details { height: auto; max-height: 40%; margin: 1 0 0 0; color: $dim; }
        #notice { height: auto; max-height: 10; color: $error; display: none; }
        #notice.-busy { color: $primary; }
        .about { margin: 1 0 0 0; }
    }
    """
    _details = getters.query_one("#details", Static)
    _notice = getters.query_one("#notice", Static)

    def __init__(self, state: ClientState, current: str | None) -> None:
        """``current`` is the name of the model in use."""
        super().__init__(tr(TITLE), ())
        self._state = state
        self._current = current
        self._options_key = state.keys["conversation"]
        self._entries: dict[str, Entry] = {}
        self._remove_pressed = ""
        """The name on which the person pressed Delete once."""
        self._notice_about = ""
        """The name that was highlighted when the notice was shown."""
        self._default: CatalogModel | None = None
        self._machine = this_machine(state.paths.models_folder)

    def _above_choices(self) -> ComposeResult:
        yield Static(header(), classes="header", markup=False)

    def _below_choices(self) -> ComposeResult:
        yield Static("", id="details", markup=False)
        yield Static("", id="notice", markup=False)
        yield Static(tr(HINTS), classes="about", markup=False)

    def on_mount(self) -> None:
        self._state.pulls.events.subscribe(self, self._follow_pull)
        self._read()
        self._fill("")
        if self._current is not None:
            self._highlight(self._current)
        self._show_broken_recipes()
        self._measure_installed()

    # --- what is shown --------------------------------------------------------------------------

    @property
    def _entry(self) -> Entry | None:
        """The model or adapter under the cursor."""
        return self._entries.get(self._highlighted or "")

    def _highlight(self, name: str) -> None:
        shown = [choice.value for choice in self._matches]
        if name in shown:
            self._options.highlighted = shown.index(name)

    def _read(self) -> None:
        paths = self._state.paths
        try:
            entries: list[Entry] = [*known_models(paths), *known_adapters(paths)]
        except CatalogError as error:
            self._show_notice(str(error))
            return
        self._entries = {entry.name: entry for entry in entries}
        self._default = None
        with contextlib.suppress(CatalogError):
            self._default = self._state.chat.default_model()

    def _show_broken_recipes(self) -> None:
        broken = [*broken_models(self._state.paths), *broken_adapters(self._state.paths)]
        if broken:
            count = len(broken) - 1
            more = f" ({tr('{count} more: baize-tui doctor', count=count)})" if count else ""
            self._show_notice(f"{broken[0]}{more}")

    def _fill(self, query: str) -> None:
        """Show the matches; unless the person is searching, the same entry stays highlighted."""
        before = self._highlighted
        choices = [Choice(e.name, f"{e.name} {e.title}") for e in self._entries.values()]
        self._show(best_matches(query, choices, lambda choice: choice.text))
        if before is not None and not query:
            self._highlight(before)
        self._show_details()

    def _row(self, choice: Choice[str]) -> str:
        entry = self._entries[choice.value]
        return row_text(
            entry,
            in_use=entry.name == self._current,
            is_default=self._is_default(entry),
            pulled_part=self._state.pulls.part(entry.name),
            plan=self._plan_of(entry),
            machine=self._machine,
        )

    def _is_default(self, entry: Entry) -> bool:
        default = self._default
        if default is None or not isinstance(entry, CatalogModel):
            return False
        return (entry.name, entry.location) == (default.name, default.location)

    def _plan_of(self, entry: Entry) -> Plan | None:
        """The plan that was made; None if there is none, or the model came or went since."""
        plan = self._state.plans.get(entry.name)
        return plan if plan is not None and plan.installed == entry.installed else None

    def _update_rows(self) -> None:
        for index, choice in enumerate(self._matches):
            if choice.value not in self._entries:
                continue  # it is gone, and the list not yet filled again
            row = self._row(choice)
            if row != self._options.get_option_at_index(index).prompt:
                self._options.replace_option_prompt_at_index(index, row)

    def _show_details(self) -> None:
        entry = self._entry
        text = ""
        if entry is not None:
            text = details_text(entry, self._plan_of(entry), self._options_key)
        elif self._input.value.startswith(HUB_PREFIX):
            text = tr(HUB_HINT)
        self._details.update(text)

    def _show_notice(self, text: str, *, busy: bool = False) -> None:
        self._notice.set_class(busy, "-busy")
        self._notice.display = bool(text)
        self._details.display = busy or not text  # a reason may be long
        self._notice_about = self._highlighted or ""
        self._notice.update(text)

    def _follow_pull(self, event: PullEvent) -> None:
        if not isinstance(event, PullProgress):
            self._read()
            self._measure_installed()
        self._update_rows()

    @on(OptionList.OptionHighlighted)
    def _forget_notice(self) -> None:
        if self._highlighted != self._notice_about:
            self._remove_pressed = ""
            self._show_notice("")
        self._show_details()

    # --- choosing and pulling -------------------------------------------------------------------

    async def _take_typed(self, text: str) -> bool:
        typed = text.strip()
        if typed.startswith(SERVER_PREFIX):
            self._use_server(typed)
        elif typed.startswith(HUB_PREFIX):
            self._import(typed)
        else:
            return False
        return True

    async def _take(self, value: str) -> None:
        entry = self._entries.get(value)
        if entry is None:
            return  # it is gone
        if isinstance(entry, CatalogModel) and entry.can_answer:
            self.dismiss(entry.name)
        elif entry.path is None:
            self._pull(entry)
        else:
            self._show_notice(adapter_hint(self._options_key))

    def _use_server(self, spec: str) -> None:
        try:
            self.dismiss(model_on_server(spec).location)
        except CatalogError as error:
            self._show_notice(str(error))

    @work(group="pull")
    async def _pull(self, entry: Entry) -> None:
        """Show what a download takes, and start it if the person agrees."""
        name, notice = entry.name, entry.recipe.notice
        if self._state.pulls.part(name) is not None:
            self._show_notice(tr("{name} is being pulled; del stops it", name=name))
            return
        if isinstance(entry, CatalogModel) and not entry.recipe.is_on_hub:
            self._show_notice(why_missing(entry))
            return
        plan = self._plan_of(entry) or await self._make_plan(entry)
        if plan is None or not self._can_pull(plan):
            return
        text = download_text(plan, notice)
        dialog = ConfirmDialog(
            tr("Download {name}?", name=name), text, tr(ACCEPT) if notice else tr(DOWNLOAD)
        )
        if await self.app.push_screen_wait(dialog) and self._has_recipe(entry):
            self._state.pulls.start(name)

    def _has_recipe(self, entry: Entry) -> bool:
        """Whether ``entry`` has a recipe; writes that of a model that was named by the person."""
        if isinstance(entry, CatalogModel) and entry.name not in self._entries:
            try:
                write_recipe(entry.name, entry.recipe, self._state.paths)
            except (CatalogError, OSError) as error:
                self._show_notice(str(error))
                return False
            self._show_added(entry.name)
        return True

    def _can_pull(self, plan: Plan) -> bool:
        """Whether nothing prevents a download; shows what does."""
        if isinstance(plan, ModelPlan):
            if not plan.enough_disk:
                size = size_text(plan.cost.disk)
                self._show_notice(tr(TOO_LITTLE_DISK, name=plan.name, size=size))
            return plan.enough_disk
        if not plan.has_base:
            self._show_notice(tr(NO_BASE, name=plan.name, base=plan.base))
        return plan.has_base

    # --- costs ----------------------------------------------------------------------------------

    def _measure_installed(self) -> None:
        """Find out whether the installed models fit, one after the other, in the background."""
        models = [
            entry
            for entry in self._entries.values()
            if isinstance(entry, CatalogModel) and entry.path and self._plan_of(entry) is None
        ]
        self.run_worker(self._measure(models), group="measure", exclusive=True)

    def action_cost(self) -> None:
        entry = self._entry
        if entry is not None:
            self.run_worker(self._make_plan(entry), group="cost", exclusive=True)

    async def _make_plan(self, entry: Entry) -> Plan | None:
        """The plan of ``entry``; None if there is none, which is shown."""
        self._show_notice(tr("measuring {name}", name=entry.name), busy=True)
        reason = await self._measure([entry])
        self._show_notice(reason)
        return self._state.plans.get(entry.name) if not reason else None

    async def _measure(self, entries: Sequence[Entry]) -> str:
        """Make the plans of ``entries``; why the last one could not be made, or an empty text."""
        # Imported when used: it reads checkpoints and hub files.
        from baize_tui.app.services.model_plans import PlanFailure, plan_models

        reason = ""
        results = plan_models(entries, self._state.paths, self._state.settings)
        async with contextlib.aclosing(results):
            async for result in results:
                reason = result.reason if isinstance(result, PlanFailure) else ""
                if not isinstance(result, PlanFailure):
                    self._state.plans[result.name] = result
                    self._update_rows()
                    self._show_details()
        return reason

    # --- importing, the default, removing -------------------------------------------------------

    def action_import(self) -> None:
        self._import(None)

    @work(group="import", exclusive=True)
    async def _import(self, hub_name: str | None) -> None:
        """Add the model ``hub_name``, or what the person names in a dialog."""
        # Imported when used: it reads checkpoints.
        from baize_tui.app.screens.model_import import ModelImport

        try:
            added = await ModelImport(self._state, self).run(
                self._current, lambda text: self._show_notice(text, busy=True), hub_name
            )
        except (CatalogError, ConvertError, EngineFailure, OSError) as error:
            self._show_notice(str(error))
            return
        if added is None:
            self._show_notice("")
        elif added.path is None:
            self._pull(added)
        else:
            self._show_added(added.name)
            self._show_notice(self._ready_text(added), busy=True)
            self._measure_installed()

    def _show_added(self, name: str) -> None:
        self._input.value = ""
        self._read()
        self._fill("")
        self._highlight(name)

    def _ready_text(self, added: Entry) -> str:
        name, default = added.name, self._default
        if not isinstance(added, CatalogModel):
            hint = adapter_hint(self._options_key)
            return tr("{name} is ready: {hint}", name=name, hint=hint)
        if default is None:
            return tr("{name} is ready: enter uses it, f7 makes it the default", name=name)
        if default.name == name:
            return tr("{name} is ready, and the default: enter uses it", name=name)
        return tr(READY_BESIDE_DEFAULT, name=name, default=default.name)

    @work(group="default")
    async def action_default(self) -> None:
        """Make the highlighted model the one that answers in new conversations."""
        model = self._entry
        if not isinstance(model, CatalogModel) or not model.can_answer:
            self._show_notice(tr("only a model that is on this machine can be the default"))
            return
        try:
            await self._state.write_setting("model", "default", model.name)
        except SettingsError as error:
            self._show_notice(str(error))
            return
        if self._state.chat.active_model.choose_for_new_conversations(model):
            self._state.model = model
        self._read()
        self._update_rows()
        self._show_notice(
            tr("{model} answers in new conversations from now on", model=model.name), busy=True
        )

    def action_remove(self) -> None:
        """Stop the pull of the highlighted entry, or remove it when pressed twice."""
        entry = self._entry
        if entry is None:
            return
        name, in_use = entry.name, self._state.chat.active_model.model
        if self._state.pulls.stop(name):
            self._show_notice(tr("stopped pulling {name}; pulling it again resumes", name=name))
        elif in_use is not None and in_use.name == name:
            self._show_notice(tr("{name} is in use: choose another model first", name=name))
        elif self._remove_pressed != name:
            self._remove_pressed = name
            self._show_notice(tr("press del again to remove {name}", name=name))
        else:
            self.run_worker(self._remove(entry), group="remove")

    async def _remove(self, entry: Entry) -> None:
        # Imported when used: few people remove a model.
        from baize_tui.catalog.removing import remove, remove_adapter

        was_chosen = self._state.settings.model.default == entry.name
        try:
            if isinstance(entry, CatalogModel):
                remove(entry, self._state.paths)
                if was_chosen:
                    await self._state.write_setting("model", "default", None)
            else:
                remove_adapter(entry, self._state.paths)
        except (CatalogError, SettingsError, OSError) as error:
            self._show_notice(str(error))
            return
        active = self._state.chat.active_model
        if active.chosen is not None and active.chosen.name == entry.name:
            active.chosen, self._state.model = None, active.model
        was_default = was_chosen or self._is_default(entry)
        self._state.plans.pop(entry.name, None)
        self._read()
        self._fill_again()
        name, now = entry.name, self._default.name if self._default is not None else ""
        if not was_default:
            text = tr("removed {name}", name=name)
        elif now:
            text = tr("removed {name}; {default} is the default now", name=name, default=now)
        else:
            text = tr("removed {name}; no model is the default now", name=name)
        self._show_notice(text, busy=True)
