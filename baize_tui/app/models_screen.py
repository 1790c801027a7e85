"""All models and adapters: what is here, what fits, what there is; pull, import and remove."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from baize_convert.failures import ConvertError
from baize_shared.progress import bar
from baize_shared.sizes import size_text
from baize_tui.app.dialogs import ConfirmDialog, Dialog, LineDialog
from baize_tui.app.fuzzy import best_matches
from baize_tui.app.picker import Choice, Picker
from baize_tui.catalog.adapters import CatalogAdapter, known_adapters
from baize_tui.catalog.recipes import CatalogError, CatalogModel, known_models
from baize_tui.engine.client import EngineFailure

if TYPE_CHECKING:
    from baize_tui.app.client import BaizeApp
    from baize_tui.catalog.planner import ModelPlan

Entry = CatalogModel | CatalogAdapter
HINTS = "enter use or pull · f5 cost · f6 import · del remove · esc close"
_COPY, _LINK = "copy it", "use it where it lies"


class ModelsScreen(Dialog[str | None]):
    """Chooses the model of the conversation; on the way there it shows and changes what is here."""

    app: BaizeApp
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", priority=True),
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
        #said { height: auto; max-height: 2; color: $error; display: none; }
        #said.-busy { color: $primary; }
        .about { margin: 1 0 0 0; }
    }
    """

    def __init__(self, current: str | None) -> None:
        super().__init__()
        self._current = current
        self._entries: dict[str, Entry] = {}
        self._asked_to_remove = ""
        self._pulling: set[str] = set()
        self._said_of = ""
        """The row that was chosen when something was said."""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -tall"):
            yield Static("Models and adapters", classes="title", markup=False)
            yield Input(placeholder="Type to find", compact=True)
            yield OptionList(id="choices", compact=True, markup=False)
            yield Static("", id="details", markup=False)
            yield Static("", id="said", markup=False)
            yield Static(HINTS, classes="about", markup=False)

    @property
    def _options(self) -> OptionList:
        return self.query_one(OptionList)

    @property
    def _chosen(self) -> Entry | None:
        option = self._options.highlighted_option
        return self._entries.get(option.id) if option is not None and option.id else None

    def on_mount(self) -> None:
        self.app.pulls.listeners.append(self._pulls_changed)
        self._read()
        self._fill()
        if self._current in self._entries:
            self._options.highlighted = list(self._entries).index(self._current)
        self._measure()

    def on_unmount(self) -> None:
        self.app.pulls.listeners.remove(self._pulls_changed)

    # --- what is shown --------------------------------------------------------------------------

    def _read(self) -> None:
        paths = self.app.paths
        try:
            found: list[Entry] = [*known_models(paths), *known_adapters(paths)]
        except CatalogError as error:
            self._say(str(error))
            return
        self._entries = {entry.name: entry for entry in found}

    def _fill(self) -> None:
        wanted = self.query_one(Input).value
        before = self._chosen
        found = best_matches(wanted, self._entries.values(), lambda e: f"{e.name} {e.title}")
        self._options.clear_options()
        self._options.add_options(Option(self._row(entry), id=entry.name) for entry in found)
        names = [entry.name for entry in found]
        kept = before is not None and not wanted and before.name in names
        self._options.highlighted = names.index(before.name) if before and kept else 0
        self._show_details()

    def _row(self, entry: Entry) -> str:
        # Behind the name: spaces at the start of a row would be cut off.
        name = entry.name + (" ●" if entry.name == self._current else "")
        part = self.app.pulls.part_of(entry.name)
        plan = self.app.plans.get(entry.name)
        if part is not None:
            state = f"{bar(part)} {part:.0%}"
        elif entry.path is not None:
            state = f"{_size_of(entry.path):>9}   {plan.fit if plan else ''}"
        elif plan is not None:
            state = f"{size_text(plan.cost.disk):>9} ↓ {plan.fit}"
        else:
            state = " not here"
        return f"{name:<26.26} {state:<24.24} {entry.recipe.license}"

    def _show_details(self) -> None:
        entry = self._chosen
        lines = []
        if entry is not None:
            recipe = entry.recipe
            lines = [entry.title, recipe.description, recipe.notice]
            if recipe.domain is not None:
                lines.append(recipe.domain.disclaimer)
            if isinstance(entry, CatalogAdapter):
                over = f" of {entry.recipe.base}" if entry.recipe.base else ""
                lines.append(f"An adapter{over}: f3 lays it over the model of a conversation.")
            plan = self.app.plans.get(entry.name)
            if plan is not None:
                lines += plan_words(plan)
            elif isinstance(entry, CatalogModel) and entry.recipe.is_on_hub:
                lines.append(f"From {entry.recipe.origin}")
        self.query_one("#details", Static).update("\n".join(line for line in lines if line))

    def _say(self, text: str, *, busy: bool = False) -> None:
        said = self.query_one("#said", Static)
        said.set_class(busy, "-busy")
        said.display = bool(text)
        self._said_of = self._chosen.name if self._chosen is not None else ""
        said.update(text)

    def _pulls_changed(self) -> None:
        pulled = self._pulling
        self._pulling = {name for name in self._entries if self.app.pulls.part_of(name) is not None}
        if pulled - self._pulling:
            self._read()
            self._measure()
        for index in range(self._options.option_count):
            option = self._options.get_option_at_index(index)
            entry = self._entries.get(option.id or "")
            if entry is not None and (row := self._row(entry)) != str(option.prompt):
                self._options.replace_option_prompt_at_index(index, row)

    # --- choosing -------------------------------------------------------------------------------

    def on_input_changed(self) -> None:
        self._fill()

    def on_option_list_option_highlighted(self) -> None:
        chosen = self._chosen
        if chosen is None or chosen.name != self._said_of:
            self._asked_to_remove = ""
            self._say("")
        self._show_details()

    def action_move(self, step: int) -> None:
        if step > 0:
            self._options.action_cursor_down()
        else:
            self._options.action_cursor_up()

    def on_input_submitted(self) -> None:
        self._take()

    def on_option_list_option_selected(self) -> None:
        self._take()

    def _take(self) -> None:
        entry = self._chosen
        if entry is None:
            return
        if entry.path is None:
            self._pull(entry)
        elif isinstance(entry, CatalogModel):
            self.dismiss(entry.name)
        else:
            self._say("f3 lays it over the model of a conversation, with a scale")

    def _pull(self, entry: Entry) -> None:
        on_hub = entry.recipe.is_on_hub if isinstance(entry, CatalogModel) else entry.recipe.adapter
        if not on_hub:
            self._say(f"{entry.name} does not come from the hub; its file is not here")
            return

        def answered(accepted: bool | None) -> None:
            if accepted:
                self.app.pulls.start(entry.name)

        notice = entry.recipe.notice
        if notice:
            self.app.push_screen(ConfirmDialog(f"Pull {entry.name}?", notice, "accept"), answered)
        else:
            answered(True)

    # --- what it costs --------------------------------------------------------------------------

    def _measure(self) -> None:
        """Whether the models that are here fit; one after the other, beside all else."""
        names = [
            name
            for name, entry in self._entries.items()
            if isinstance(entry, CatalogModel) and entry.path and name not in self.app.plans
        ]
        self.run_worker(self._plan(names, tell=False), group="measure", exclusive=True)

    def action_cost(self) -> None:
        entry = self._chosen
        if isinstance(entry, CatalogModel):
            self._say(f"asking what {entry.name} costs", busy=True)
            self.run_worker(self._plan([entry.name], tell=True), group="cost", exclusive=True)

    async def _plan(self, names: list[str], *, tell: bool) -> None:
        from baize_tui.app.model_plans import plans_of

        models = [self._entries[name] for name in names]
        wanted = [model for model in models if isinstance(model, CatalogModel)]
        plans = plans_of(wanted, self.app.paths, self.app.chat.settings)
        async with contextlib.aclosing(plans):
            async for name, plan in plans:
                if isinstance(plan, str):
                    if tell:
                        self._say(plan)
                    continue
                self.app.plans[name] = plan
                if tell:
                    self._say("")
                self._pulls_changed()
                self._show_details()

    # --- importing and removing -----------------------------------------------------------------

    def action_import(self) -> None:
        def named(path: str | None) -> None:
            if path is None:
                return

            def chosen(how: str | None) -> None:
                if how is not None:
                    self._say(f"importing {path}", busy=True)
                    self.run_worker(self._import(Path(path), copy=how == _COPY), group="import")

            choices = [Choice(_LINK), Choice(_COPY)]
            self.app.push_screen(Picker(f"Import {Path(path).name}", choices), chosen)

        self.app.push_screen(
            LineDialog("Path of a GGUF model, a GGUF LoRA, or an adapter's folder"), named
        )

    async def _import(self, path: Path, *, copy: bool) -> None:
        from baize_tui.catalog.importing import ImportOptions, import_file
        from baize_tui.engine.client import WorkerEngine

        engine = WorkerEngine(self.app.paths, self.app.complain)
        engine.on_progress = lambda done: self._say(f"trying {path.name} {done:.0%}", busy=True)
        try:
            # A folder is that of an adapter, of the model that is in use.
            base = self._current if path.expanduser().is_dir() else None
            found = await import_file(
                path, ImportOptions(copy=copy, base=base), self.app.paths, engine
            )
        except (CatalogError, ConvertError, EngineFailure, OSError) as error:
            self._say(str(error))
            return
        finally:
            await engine.close()
        self._read()
        self._fill()
        self._options.highlighted = list(self._entries).index(found.name)
        self._say(f"{found.name} is ready", busy=True)
        self._measure()

    def action_remove(self) -> None:
        from baize_tui.catalog.removing import remove, remove_adapter

        entry = self._chosen
        if entry is None:
            return
        name = entry.name
        if self.app.pulls.stop(name):
            self._say(f"the pull of {name} is stopped; pulling it again goes on from there")
            return
        if self.app.chat.model is not None and self.app.chat.model.name == name:
            self._say(f"{name} is in use: choose another model first")
            return
        if self._asked_to_remove != name:
            self._asked_to_remove = name
            self._say(f"press del again to remove {name}")
            return
        take: Callable[[], object] = (
            (lambda: remove(entry, self.app.paths))
            if isinstance(entry, CatalogModel)
            else (lambda: remove_adapter(entry, self.app.paths))
        )
        try:
            take()
        except (CatalogError, OSError) as error:
            self._say(str(error))
            return
        self.app.plans.pop(name, None)
        self._read()
        self._fill()
        self._say(f"{name} is removed", busy=True)


def _size_of(file: Path) -> str:
    try:
        return size_text(file.stat().st_size)
    except OSError:  # it was removed since
        return "gone"


def plan_words(plan: ModelPlan) -> list[str]:
    """What a model costs, in lines for a person."""
    measured = plan.measured
    lines = [
        f"{size_text(measured.footprint.needed)} of memory with a context of "
        f"{measured.n_ctx}: {plan.fit}; up to {measured.largest_context} tokens fit"
    ]
    if not plan.installed:
        room = "" if plan.enough_disk else ", more than is free"
        lines.append(
            f"{size_text(plan.cost.download)} to download, {size_text(plan.cost.disk)} on the "
            f"disk{room}"
        )
    if measured.footprint.on_devices:
        lines.append(f"{measured.gpu_layers} of {measured.layers + 1} layers on the GPU")
    if plan.tokens_per_second is not None:
        lines.append(f"about {plan.tokens_per_second:.3g} tokens/s")
    return [*lines, *plan.warnings]
