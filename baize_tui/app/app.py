"""The client: it starts, ends, and connects the settings with the screens."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from textual import events, on
from textual._context import active_message_pump
from textual.actions import ActionParseResult, SkipAction
from textual.app import App
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.dom import DOMNode
from textual.errors import NoWidget
from textual.filter import LineFilter
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.worker import WorkerCancelled, WorkerError, WorkerFailed, active_worker

from baize_shared.sanitizer import clean_text
from baize_tui.app.actions import ACTIONS, APP_ACTIONS, actions_with_keys
from baize_tui.app.conversation.screen import ConversationScreen
from baize_tui.app.harmless_lines import HarmlessLines
from baize_tui.app.key_order import KeyOrder
from baize_tui.app.services.background_pulls import (
    BackgroundPulls,
    PullEvent,
    PullFailed,
    PullFinished,
)
from baize_tui.app.state import ClientState, SettingsChanged
from baize_tui.app.terminal_driver import ClientDriver
from baize_tui.app.themes import (
    BAIZE_DARK,
    BAIZE_LIGHT,
    BAIZE_LIGHT_OF_16,
    InvalidTheme,
    read_themes,
    with_dim,
)
from baize_tui.app.widgets.notices import Notices
from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.chat import Chat
from baize_tui.engine.client import kill_workers
from baize_tui.exit_watch import ExitWatch
from baize_tui.paths import Paths
from baize_tui.settings import SettingsError
from baize_tui.store.errors import StoreError
from baize_tui.translation import msg, tr

_HARMLESS_LINES = HarmlessLines()
DRAFT_NOT_SAVED = msg("Your draft cannot be saved: {why}. {key} again quits without it.")
_STOP_S = 1.0
"""How long the model may take to stop an answer when the person quits."""
_END_S = 2.0
"""How long the rest may take once everything is saved."""


class BaizeApp(App[int], inherit_bindings=False):
    """The client; its main screen is ``ConversationScreen``.

    The palette is its own (``screens/palette.py``): that of Textual 8.2.8 searches titles only,
    raises ``NoMatches`` for keys that come while it opens or closes, and has entries that do not
    work here (Maximize, Screenshot).
    """

    TITLE = "Baize"
    CSS_PATH = "baize.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        # With nothing selected, the key does what it does otherwise.
        Binding("ctrl+c,super+c", "copy_selected_text", show=False, priority=True),
        Binding("ctrl+c", "interrupt", show=False),
        *(
            Binding(action.binding, action.id, id=action.id, show=False, priority=True)
            for action in ACTIONS
            if action.id in APP_ACTIONS
        ),
    ]

    def __init__(
        self,
        chat: Chat,
        paths: Paths,
        *,
        model: str | None = None,
        open_session: str | None = None,
        exit_watch: ExitWatch | None = None,
        taken_keys: Collection[str] = (),
        in_browser: bool = False,
    ) -> None:
        """``model``, or that of the conversation ``open_session``, is loaded after the first frame;
        None takes the default.

        A started ``exit_watch`` ends the process on a signal, or when the terminal is closed. Of
        two keys of an action, the one is shown that is not among ``taken_keys``. With
        ``in_browser`` it is shown in a page, which another process serves.
        """
        super().__init__()
        if in_browser:
            from baize_tui.app.browser_driver import BrowserDriver

            self.driver_class = BrowserDriver
        elif issubclass(ClientDriver, self.driver_class):
            self.driver_class = ClientDriver
        self.exit_watch = exit_watch or ExitWatch()
        self.state = ClientState(
            chat=chat,
            paths=paths,
            pulls=BackgroundPulls(self),
            exit_watch=self.exit_watch,
            actions=actions_with_keys(chat.settings.keys, taken_keys),
        )
        defaults = zip(self.state.actions, ACTIONS, strict=True)
        changed = [own for own, default in defaults if {*own.keys} != {*default.keys}]
        self.set_keymap({action.id: action.binding for action in changed})
        self._first_model = model
        self._open_session = open_session
        self._warnings: list[str] = []
        self._quit_refused = False
        self._key_order = KeyOrder(self)
        self._set_up_themes(chat.settings.look.theme)

    def _set_up_themes(self, chosen: str) -> None:
        """Register the themes and begin with ``chosen``.

        It does what ``App._watch_theme`` does, before any style is read: setting ``theme`` here
        would read all styles twice before the first frame.
        """
        few_colours = self.console.color_system == "standard"
        light = BAIZE_LIGHT_OF_16 if few_colours else BAIZE_LIGHT
        for theme in (BAIZE_DARK, light, *read_themes(self.state.paths.themes_folder)):
            if isinstance(theme, InvalidTheme):
                self._warnings.append(theme.reason)
            else:
                self.register_theme(theme)
        name = chosen if chosen in self.available_themes else BAIZE_DARK.name
        if name != chosen:
            key = self.state.keys["settings"]
            self._warnings.append(
                tr("There is no theme {name}; choose another one with {key}.", name=chosen, key=key)
            )
        self.set_reactive(BaizeApp.theme, name)
        dark = self.current_theme.dark
        classes = {f"-theme-{name}": True, "-dark-mode": dark, "-light-mode": not dark}
        classes["-few-colours"] = few_colours
        self.update_classes(classes, update=False)
        self.stylesheet.set_variables(self.get_css_variables())

    def get_css_variables(self) -> dict[str, str]:
        return with_dim(super().get_css_variables())

    def get_default_screen(self) -> Screen[None]:
        return ConversationScreen(self.state, open_session=self._open_session, id="_default")

    @property
    def conversation_screen(self) -> ConversationScreen:
        """The screen below all others."""
        screen = self.screen_stack[0]
        assert isinstance(screen, ConversationScreen)
        return screen

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [*super().get_line_filters(), _HARMLESS_LINES]

    @property
    def crash(self) -> Exception | None:
        """The exception that ended the client, if one did."""
        error = self._exception
        # Textual reports what a worker raised in an exception without a traceback.
        if isinstance(error, WorkerFailed) and isinstance(error.error, Exception):
            return error.error
        return error

    def _handle_exception(self, error: Exception) -> None:
        # Textual tells a widget that it is mounted even if it was removed before it had children,
        # and removes the widgets of a screen before its workers.
        cause: BaseException = error
        pump: MessagePump = active_message_pump.get()
        if isinstance(error, WorkerFailed):
            cause, pump = error.error, active_worker.get().node
        if not (isinstance(cause, NoMatches) and _is_being_removed(pump)):
            super()._handle_exception(error)

    def _fatal_error(self) -> None:
        # Textual would print a traceback with the values of variables, conversations among them.
        self._close_messages_no_wait()

    # --- start and end --------------------------------------------------------------------------

    async def on_mount(self) -> None:
        chat = self.state.chat
        damaged_file = chat.conversations.damaged_file
        if damaged_file is not None:
            self.warn(
                tr("The conversations file was damaged and is kept as {file}", file=damaged_file)
            )
        if why := chat.conversations.why_read_only:
            self.warn(tr("You can read, and nothing can be saved: {why}", why=why))
        for warning in self._warnings:
            self.warn(warning)
        self.exit_watch.save_at_exit(self._save_for_exit, chat.rescue)
        self.exit_watch.at_exit(kill_workers)
        self.theme_changed_signal.subscribe(self, lambda theme: self._save_theme(theme.name))
        self.state.pulls.events.subscribe(self, self._notify_pull)
        # Others have used the terminal meanwhile: nothing on it is left (Textual draws only what
        # changes).
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        chat.listen_for_notices(self.show_machine_notice)
        # After the first frame: a process to start must not delay it.
        self.call_after_refresh(self._after_first_frame)

    def _after_first_frame(self) -> None:
        gc.freeze()
        gc.enable()
        load_first = self.conversation_screen.model_loading.load_first
        self.run_worker(load_first(self._first_model, self._open_session), name="load")
        self.conversation_screen.indexing.start()

    def _refresh_notifications(self) -> None:
        if self.screen_stack and isinstance(self.screen, ConversationScreen):
            for notices in self.screen.query(Notices):
                self.call_later(notices.show, self._notifications)
        else:
            super()._refresh_notifications()

    def warn(self, text: str) -> None:
        """Show a warning that does not fit into the status line."""
        self.notify(text, severity="warning", timeout=20, markup=False)

    def show_machine_notice(self, notice: str) -> None:
        """Say what was switched off because it crashed on this machine."""
        transcript = self.conversation_screen.transcript
        if transcript.turns:
            transcript.show_problem(notice)
        else:
            self.warn(notice)

    def _notify_pull(self, event: PullEvent) -> None:
        match event:
            case PullFinished(name=name):
                self.notify(self._ready_text(name), markup=False)
                if self.state.model is None and name in self.state.model_names:
                    self._load_default_model(name)  # the first one
            case PullFailed(reason=reason):
                self.notify(reason, severity="error", timeout=30, markup=False)
            case _:
                pass

    def _ready_text(self, name: str) -> str:
        """What to say of ``name``, which was pulled: whether it answers in new conversations."""
        default = None
        if name in self.state.model_names:
            with contextlib.suppress(CatalogError):
                default = self.state.chat.default_model().name
        if default is None:
            return tr("{name} is ready.", name=name)
        if default == name:
            return tr("{name} is ready, and the default model.", name=name)
        return tr("{name} is ready. {default} stays the default model.", name=name, default=default)

    async def _save_for_exit(self) -> None:
        """Save without waiting for anything else: the process is about to end."""
        try:
            if self.screen_stack:
                await self.conversation_screen.save_drafts()
        finally:
            if self.screen_stack:
                self.conversation_screen.stop_reading()
            await self.state.chat.save_for_exit()

    def action_interrupt(self) -> None:
        """Ctrl+C with nothing selected: stop the answer, or say how to quit."""
        if not self.conversation_screen.stop_answer():
            key = self.state.keys["quit"]
            hints = [tr("{key} quits", key=key)]
            if self.screen.is_modal:
                hints.append(tr("esc closes this screen"))
            self.notify(" · ".join(hints), markup=False)

    async def action_quit(self) -> None:
        chat = self.state.chat
        if not await self._save_drafts():
            return
        await chat.save(_STOP_S)
        await self._end_turns()
        self.conversation_screen.stop_reading()
        await self.state.pulls.close()
        await chat.close()
        self.exit(0)
        # A thread that still waits, such as for an answer of the hub, must not delay the end.
        self.exit_watch.end_within(_END_S, 1 if chat.unsaved else 0)

    async def _save_drafts(self) -> bool:
        """Save what is not sent; False if the person must decide, because it cannot be saved."""
        try:
            await self.conversation_screen.save_drafts()
        except StoreError as error:
            if not self._quit_refused:
                self._quit_refused = True
                key = self.state.keys["quit"]
                self.warn(tr(DRAFT_NOT_SAVED, why=error, key=key))
                return False
        return True

    async def _end_turns(self) -> None:
        """Give the workers that follow answers a moment to end by themselves."""
        turns = [worker for worker in self.workers if worker.group.startswith("turn ")]
        with contextlib.suppress(WorkerError, WorkerCancelled, TimeoutError):
            await asyncio.wait_for(self.workers.wait_for_complete(turns), _STOP_S)

    def action_copy_selected_text(self) -> None:
        """Copy the text that is selected with the mouse, on any screen."""
        from baize_tui.app.services.clipboard import copy_text

        text = self.screen.get_selected_text()
        if not text:
            raise SkipAction
        self.notify(copy_text(self, text, self.state.paths.cache), markup=False)

    async def on_event(self, event: events.Event) -> None:
        """Sanitize what is pasted, whichever widget gets it, let keys act in order, and ignore keys
        and clicks that have nothing left to work on."""
        if isinstance(event, events.Paste):
            event.text = clean_text(event.text)
        if isinstance(event, events.InputEvent | events.Paste) and not event.is_forwarded:
            if self._exit or not self.screen_stack:
                return  # too late: there is no screen to handle it
            if isinstance(event, events.MouseEvent) and self._is_on_removed_widget(event):
                return
            if isinstance(event, events.Key | events.Paste):
                await self._key_order.wait(event)
        is_input = isinstance(event, events.Key | events.MouseDown | events.Paste)
        if is_input and not event.is_forwarded and len(self.screen_stack) == 1:
            self.conversation_screen.note_input()
        await super().on_event(event)

    def _is_on_removed_widget(self, event: events.MouseEvent) -> bool:
        """Whether only the picture of a widget is left below the mouse, until the next layout.

        Textual 8.2.8 would begin to select the text of its parent, which is None.
        """
        try:
            widget, _ = self.screen.get_widget_at(event.x, event.y)
        except NoWidget:
            return False
        return widget is not self.screen and not widget.is_attached

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Run an action; if it cannot write to the store, show why."""
        try:
            return await super().run_action(action, default_namespace, namespaces)
        except StoreError as error:
            self.conversation_screen.status.show(str(error), "problem")
            return True

    # --- settings -------------------------------------------------------------------------------

    @on(SettingsChanged)
    def _settings_changed(self, event: SettingsChanged) -> None:
        """Apply settings that were written to the file; the screen shows what depends on them."""
        settings = self.state.settings
        if event.table == "look" and settings.look.theme in self.available_themes:
            self.theme = settings.look.theme
        elif event.table == "model":
            self._load_default_model(settings.model.default)
        self.conversation_screen.settings_changed(event)

    def _load_default_model(self, name: str | None) -> None:
        try:
            model = self.state.chat.catalog.find_model(name)
        except CatalogError as error:
            self.warn(str(error))
        else:
            loading = self.conversation_screen.model_loading.load(model)
            self.run_worker(loading, group="load", exclusive=True)

    def _save_theme(self, name: str) -> None:
        """Write a theme that the person chose to the settings."""
        if name == self.state.settings.look.theme:
            return

        async def save() -> None:
            try:
                await self.state.write_setting("look", "theme", name)
            except SettingsError as error:
                self.warn(str(error))

        self.run_worker(save(), group="theme", exclusive=True)


def _is_being_removed(pump: MessagePump) -> bool:
    """Whether a widget, or one that it is in, leaves the screen."""
    if not isinstance(pump, DOMNode):
        return False
    return any(node._pruning or node._closing or node._closed for node in pump.ancestors_with_self)
