"""The client: its start and end, its model, its settings; the conversation has its own screen."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual.actions import ActionParseResult
from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.dom import DOMNode
from textual.screen import Screen
from textual.worker import WorkerCancelled, WorkerError

from baize_shared.progress import TimeLeft, progress_text
from baize_tui.app.actions import rebound
from baize_tui.app.background_pulls import BackgroundPulls
from baize_tui.app.conversation_screen import ConversationScreen
from baize_tui.app.terminal_driver import ClientDriver
from baize_tui.app.themes import BAIZE_DARK, BAIZE_LIGHT, own_themes
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.chat.turns import Chat
from baize_tui.engine.client import EngineFailure, kill_workers
from baize_tui.exit_watch import ExitWatch
from baize_tui.paths import Paths
from baize_tui.settings import SettingsError
from baize_tui.store.conversations import StoreError

if TYPE_CHECKING:
    from baize_tui.catalog.planner import ModelPlan

_STOP_S = 1.0
"""How long the model may take to stop an answer when the person quits."""
_END_S = 2.0
"""How long the rest takes at most once everything is saved."""


class BaizeApp(App[int]):
    """Shows what ``chat`` tells; never writes to the store itself."""

    TITLE = "Baize"
    CSS_PATH = "baize.tcss"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(
        self,
        chat: Chat,
        paths: Paths,
        *,
        model: str | None = None,
        open_session: str | None = None,
        exit_watch: ExitWatch | None = None,
    ) -> None:
        """``model`` is looked for after the first frame; None takes the first that is installed.

        ``exit_watch``, started, ends the process when it is told to or the terminal is gone.
        """
        super().__init__()
        if issubclass(ClientDriver, self.driver_class):
            self.driver_class = ClientDriver
        self.exit_watch = exit_watch or ExitWatch()
        self.chat = chat
        self.paths = paths
        self.actions = rebound(chat.settings.keys)
        self.set_keymap(chat.settings.keys)
        self.model: CatalogModel | None = None
        """The model to load, or loaded."""
        self.problem = ""
        """Why there is no model."""
        self.load_ended = asyncio.Event()
        self.pulls = BackgroundPulls(self)
        self.plans: dict[str, ModelPlan] = {}
        """What models cost, as far as it was asked, by name."""
        self._wanted_model = model
        self._open_session = open_session
        self._complaints: list[str] = []
        for theme in (BAIZE_DARK, BAIZE_LIGHT):
            self.register_theme(theme)
        for found in own_themes(paths.themes_folder):
            if isinstance(found, str):
                self._complaints.append(found)
            else:
                self.register_theme(found)
        self._begin_with_theme(chat.settings.look.theme)

    def _begin_with_theme(self, wanted: str) -> None:
        """What ``App._watch_theme`` does, before any style is read: setting ``theme`` here would
        read all of them twice before the first frame."""
        name = wanted if wanted in self.available_themes else BAIZE_DARK.name
        if name != wanted:
            self._complaints.append(f"There is no theme {wanted}; f4 chooses another one.")
        self.set_reactive(BaizeApp.theme, name)
        dark = self.current_theme.dark
        classes = {f"-theme-{name}": True, "-dark-mode": dark, "-light-mode": not dark}
        self.update_classes(classes, update=False)
        self.stylesheet.set_variables(self.get_css_variables())

    def get_default_screen(self) -> Screen[None]:
        return ConversationScreen(
            self.chat, self.actions, open_session=self._open_session, id="_default"
        )

    @property
    def conversation_screen(self) -> ConversationScreen:
        """The screen below all dialogs."""
        screen = self.screen_stack[0]
        assert isinstance(screen, ConversationScreen)
        return screen

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        if isinstance(screen, ConversationScreen):
            for action in self.actions:
                if action.id != "quit":  # Textual has its own
                    method: Callable[[], object] = getattr(screen, f"action_{action.id}")
                    yield SystemCommand(action.title, f"{action.help} · {action.key}", method)

    # --- start and end --------------------------------------------------------------------------

    async def on_mount(self) -> None:
        set_aside = self.chat.store.set_aside
        if set_aside is not None:
            self.complain(f"The conversations file was damaged. It is kept as {set_aside}")
        for complaint in self._complaints:
            self.complain(complaint)
        self.exit_watch.save_at_exit(self._save_for_exit, self.chat.rescue)
        self.exit_watch.at_exit(kill_workers)
        self.theme_changed_signal.subscribe(self, lambda theme: self._keep_theme(theme.name))
        self.chat.hear_notices(self.tell_machine)
        # After the first frame: a process to start must not delay it.
        self.call_after_refresh(self._after_first_frame)

    def _after_first_frame(self) -> None:
        gc.freeze()
        gc.enable()
        self.run_worker(self._load_first_model(), name="load")

    def complain(self, text: str) -> None:
        """Say what went wrong where it does not fit into the status line."""
        self.notify(text, severity="warning", timeout=20, markup=False)

    def tell_machine(self, notice: str) -> None:
        """Say what was switched off because it crashed on this machine."""
        transcript = self.conversation_screen.transcript
        if transcript.turns:
            transcript.tell(notice)
        else:
            self.complain(notice)

    async def _save_for_exit(self) -> None:
        """Told to end, or the terminal is gone: save, and wait for nothing else."""
        if self.screen_stack:
            self.conversation_screen.stop_reading()
        await self.chat.save_for_exit()

    async def action_quit(self) -> None:
        await self.chat.save(_STOP_S)
        await self._end_turns()
        self.conversation_screen.stop_reading()
        await self.pulls.close()
        await self.chat.close()
        self.exit(0)
        # What a thread still waits for, such as an answer of the hub, must not hold the person up.
        self.exit_watch.end_within(_END_S, 1 if self.chat.unsaved else 0)

    async def _end_turns(self) -> None:
        """Those that follow answers have a moment to end by themselves."""
        turns = [worker for worker in self.workers if worker.group.startswith("turn ")]
        with contextlib.suppress(WorkerError, WorkerCancelled, TimeoutError):
            await asyncio.wait_for(self.workers.wait_for_complete(turns), _STOP_S)

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Whatever a person does: where it cannot be written down, they are told why."""
        try:
            return await super().run_action(action, default_namespace, namespaces)
        except StoreError as error:
            self.conversation_screen.status.show(str(error), "problem")
            return True

    # --- the model ------------------------------------------------------------------------------

    async def _load_first_model(self) -> None:
        screen = self.conversation_screen
        try:
            try:
                self.model = self.chat.find_model(self._wanted_model)
            except CatalogError as error:
                self.problem = str(error)
            screen.model_found()
            if self.model is not None:
                await self.load(self.model)
        finally:
            self.load_ended.set()

    async def load(self, model: CatalogModel) -> bool:
        """Load ``model`` in place of the one before, and show how far it is; False says it failed,
        and the one before, if any, is gone too."""
        screen = self.conversation_screen
        left = TimeLeft()

        def progress(done: float) -> None:
            text = progress_text(f"loading {model.name}", done, left=left.after(done))
            screen.status.show(text, "busy")

        progress(0.0)
        self.model = model
        try:
            await self.chat.use_model(model, progress)
        except EngineFailure as error:
            screen.status.show(str(error), "problem")
            self.notify(str(error), title="The model", severity="error", timeout=30, markup=False)
            return False
        screen.model_loaded()
        return True

    # --- settings -------------------------------------------------------------------------------

    async def change_setting(self, table: str, key: str, value: Any) -> None:
        """Keep a setting in the file and have it count; None is its default.

        Raises:
            SettingsError: the file is not valid, or cannot be written.
        """
        # Imported when used: it reads TOML with its comments.
        from baize_tui.settings_file import write_setting

        file = self.paths.settings_file
        settings = await asyncio.to_thread(write_setting, file, table, key, value)
        self.chat.change_settings(settings)
        if table == "look":
            if settings.look.theme in self.available_themes:
                self.theme = settings.look.theme
            self.conversation_screen.show_look(settings.look)
        elif table == "model":
            self._load_default_model(settings.model.default)
        self.conversation_screen.show_settings()

    def _load_default_model(self, name: str | None) -> None:
        try:
            model = self.chat.find_model(name)
        except CatalogError as error:
            self.complain(str(error))
        else:
            self.run_worker(self.load(model), group="load", exclusive=True)

    def _keep_theme(self, name: str) -> None:
        """A theme chosen in the palette is there again at the next start."""
        if name == self.chat.settings.look.theme:
            return

        async def keep() -> None:
            try:
                await self.change_setting("look", "theme", name)
            except SettingsError as error:
                self.complain(str(error))

        self.run_worker(keep(), group="theme", exclusive=True)
