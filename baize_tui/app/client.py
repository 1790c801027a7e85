"""The client: conversations at the left, the transcript, the prompt, the status line."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import ClassVar

from textual import events
from textual.app import App, ComposeResult, SuspendNotSupported, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.timer import Timer
from textual.widgets import OptionList
from textual.worker import WorkerError

from baize_tui.app.actions import ACTIONS
from baize_tui.app.conversation_list import ConversationList
from baize_tui.app.prompt import Prompt
from baize_tui.app.status_line import StatusLine, bar
from baize_tui.app.terminal_driver import QuickEscapeDriver
from baize_tui.app.themes import BAIZE_DARK, BAIZE_LIGHT
from baize_tui.app.transcript import Transcript, Turn
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.chat.events import (
    Answering,
    Asked,
    ChatEvent,
    Delta,
    Failed,
    Finished,
    NotSaved,
    TurnsLeft,
)
from baize_tui.chat.formats import format_named, system_prompt
from baize_tui.chat.turns import Chat
from baize_tui.engine.client import EngineFailure
from baize_tui.engine.protocol import Prefilling, Stats
from baize_tui.store.conversations import StoreError
from baize_tui.store.records import Conversation, Message

FLUSHES_PER_SECOND = 12
"""How often a growing answer is drawn; drawing more often takes cores from the model."""
WATCH_EVERY_S = 2.0
NARROW = 60

Events = AsyncGenerator[ChatEvent, None]


class BaizeApp(App[int]):
    """Shows what ``chat`` tells; never writes to the store itself."""

    TITLE = "Baize"
    CSS_PATH = "baize.tcss"
    AUTO_FOCUS = "#prompt"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(action.key, action.id, action.title, id=action.id, show=False, priority=True)
        for action in ACTIONS
    ]

    def __init__(
        self,
        chat: Chat,
        find_model: Callable[[], CatalogModel],
        *,
        open_session: str | None = None,
    ) -> None:
        """``find_model`` is called after the first frame; its ``CatalogError`` is shown."""
        super().__init__()
        if issubclass(QuickEscapeDriver, self.driver_class):
            self.driver_class = QuickEscapeDriver
        self._chat = chat
        self._find_model = find_model
        self._model: CatalogModel | None = None
        self._open_session = open_session
        self._problem = ""
        self._conversation: Conversation | None = None
        self._growing: dict[str, Turn | None] = {}
        self._texts: dict[str, tuple[Message, str]] = {}
        self._context_used = 0
        self._asked = ""
        self._editing: Message | None = None
        self._history_place = -1
        self._undo: list[Callable[[], Awaitable[None]]] = []
        self._store_version = 0
        self._flush_timer: Timer | None = None
        self._load_ended = asyncio.Event()
        for theme in (BAIZE_DARK, BAIZE_LIGHT):
            self.register_theme(theme)
        self._begin_with_theme(chat.settings.look.theme)

    def _begin_with_theme(self, wanted: str) -> None:
        """What ``App._watch_theme`` does, before any style is read: setting ``theme`` here would
        read all of them twice before the first frame."""
        name = wanted if wanted in self.available_themes else BAIZE_DARK.name
        self.set_reactive(BaizeApp.theme, name)
        dark = self.current_theme.dark
        classes = {f"-theme-{name}": True, "-dark-mode": dark, "-light-mode": not dark}
        self.update_classes(classes, update=False)
        self.stylesheet.set_variables(self.get_css_variables())

    def compose(self) -> ComposeResult:
        yield StatusLine()
        yield ConversationList()
        with Vertical(id="column"):
            yield Transcript()
            yield Prompt()

    def on_resize(self, event: events.Resize) -> None:
        # Not HORIZONTAL_BREAKPOINTS: a class on the screen styles every widget anew.
        self._list.set_class(event.size.width < NARROW, "-narrow")

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        for action in ACTIONS:
            if action.id != "quit":  # Textual has its own
                method: Callable[[], object] = getattr(self, f"action_{action.id}")
                yield SystemCommand(action.title, action.help, method)

    # --- start and end --------------------------------------------------------------------------

    async def on_mount(self) -> None:
        if self._chat.store.set_aside is not None:
            self.notify(
                f"The conversations file was damaged. It is kept as {self._chat.store.set_aside}",
                severity="warning",
                timeout=20,
                markup=False,
            )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, lambda: self.run_worker(self.action_quit()))
        loop.add_signal_handler(signal.SIGHUP, lambda: self.run_worker(self._terminal_closed()))
        self._refresh_list()
        if self._open_session is not None:
            await self._show_conversation(self._chat.store.conversation(self._open_session))
        else:
            await self._transcript.welcome(self._welcome())
        self._flush_timer = self.set_interval(
            1 / FLUSHES_PER_SECOND, self._draw_growing, pause=True
        )
        self.set_interval(WATCH_EVERY_S, self._watch_store)
        self._status.show("loading", "busy")
        # After the first frame: a process to start must not delay it.
        self.call_after_refresh(self._after_first_frame)

    def _after_first_frame(self) -> None:
        gc.freeze()
        gc.enable()
        self.run_worker(self._load_model(), name="load")

    def _welcome(self) -> str:
        if self._problem:
            return f"There is no model yet.\n\n{self._problem}"
        parts = ["Write below and press Enter. Everything stays on this computer."]
        if self._model is not None:
            recipe = self._model.recipe
            parts = [self._model.title, recipe.description, recipe.notice, *parts]
        parts[0] = f"白泽 Baize · {parts[0]}"
        return "\n\n".join(part for part in parts if part)

    async def _load_model(self) -> None:
        try:
            await self._use_model()
        finally:
            self._load_ended.set()

    async def _use_model(self) -> None:
        try:
            self._model = self._find_model()
        except CatalogError as error:
            self._problem = str(error)
            self._status.show("no model", "problem")
        if self._conversation is None:
            await self._transcript.welcome(self._welcome())
        if self._model is None:
            return
        name = self._model.name

        def progress(done: float) -> None:
            self._status.show(f"loading {name} {bar(done)} {done:.0%}", "busy")

        progress(0.0)
        try:
            await self._chat.use_model(self._model, progress)
        except EngineFailure as error:
            self._status.show(str(error), "problem")
            self.notify(str(error), title="The model", severity="error", timeout=30, markup=False)
            return
        if not self._growing:
            self._show_idle()

    async def _terminal_closed(self) -> None:
        """Save and go at once: writing to a terminal that is gone would wait for ever."""
        await self._save_all()
        os._exit(128 + signal.SIGHUP)

    async def action_quit(self) -> None:
        await self._save_all()
        self.exit(0)

    async def _save_all(self) -> None:
        for conversation in list(self._growing):
            self._chat.stop(conversation)
        # Answers on their way end as stopped and are written down by their own tasks.
        with contextlib.suppress(WorkerError):
            await self.workers.wait_for_complete(
                [worker for worker in self.workers if worker.group.startswith("turn ")]
            )
        await self._chat.close()

    # --- parts ----------------------------------------------------------------------------------

    @property
    def _prompt(self) -> Prompt:
        return self.query_one(Prompt)

    @property
    def _transcript(self) -> Transcript:
        return self.query_one(Transcript)

    @property
    def _status(self) -> StatusLine:
        return self.query_one(StatusLine)

    @property
    def _list(self) -> ConversationList:
        return self.query_one(ConversationList)

    @property
    def _open_id(self) -> str | None:
        return self._conversation.id if self._conversation is not None else None

    def _refresh_list(self) -> None:
        self._store_version = self._chat.store.version()
        self._list.show(self._chat.store.conversations(), self._open_id, self._chat.busy)

    async def _watch_store(self) -> None:
        """What another client wrote, and what could not be written before."""
        if self._chat.unsaved and await self._chat.save_pending() == 0:
            self._status.show("all is saved again")
        if self._chat.store.version() != self._store_version:
            self._refresh_list()

    def _show_idle(self, stats: Stats | None = None) -> None:
        parts: list[str] = []
        if self._chat.loaded is not None and self._chat.model is not None:
            parts.append(self._chat.model.name)
            if stats is not None:
                self._context_used = stats.prompt_tokens + stats.completion_tokens
                parts.append(f"{stats.tokens_per_second:.0f} tokens/s")
            if self._context_used:
                parts.append(f"{self._context_used}/{self._chat.loaded.n_ctx}")
        elif self._model is not None:
            parts.append(self._model.name)
        moderated = (
            self._conversation.moderation
            if self._conversation is not None
            else self._chat.settings.chat.moderation
        )
        parts.append("moderated" if moderated else "not moderated")
        self._status.show(" · ".join(parts))

    def _head(self, conversation: Conversation) -> str:
        """What the model is told before the first turn."""
        if format_named(self._chat.format_of(conversation)).has_preamble:
            on = "with" if conversation.moderation else "without"
            return f"Baize's own preamble, {on} its moderation sentence"
        return system_prompt(conversation.system, moderation=conversation.moderation)

    # --- conversations --------------------------------------------------------------------------

    async def _show_conversation(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._context_used = 0
        messages = await self._chat.run(self._chat.store.messages, conversation.id)
        await self._transcript.show(messages, self._head(conversation), conversation.context_start)
        if conversation.id in self._growing:
            turn = next((t for t in self._transcript.turns if t.message.state == "streaming"), None)
            self._growing[conversation.id] = turn
            if turn is not None and conversation.id in self._texts:
                turn.want(self._texts[conversation.id][1])
        self._editing = None
        self._transcript.show_branches(
            await self._chat.run(self._chat.store.branches, conversation.id)
        )
        last = messages[-1] if messages else None
        if last is not None and last.provenance is not None:
            made = last.provenance
            self._context_used = made["prompt_tokens"] + made["completion_tokens"]
        self._refresh_list()
        self._show_idle()

    async def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        if event.option_list is not self._list or event.option.id is None:
            return
        conversation = await self._chat.run(self._chat.store.conversation, event.option.id)
        await self._show_conversation(conversation)
        self._list.remove_class("-summoned")
        self.screen.set_focus(self._prompt)

    async def action_new(self) -> None:
        self._conversation = None
        self._context_used = 0
        await self._transcript.welcome(self._welcome())
        self._refresh_list()
        self._show_idle()
        self._list.remove_class("-summoned")
        self.screen.set_focus(self._prompt)

    def action_list(self) -> None:
        if self._list.has_focus:
            self._list.remove_class("-summoned")
            self.screen.set_focus(self._prompt)
            return
        self._list.add_class("-summoned")
        self.screen.set_focus(self._list)

    async def action_moderation(self) -> None:
        conversation = self._conversation
        if conversation is None:
            conversation = await self._chat.new_conversation()
        store = self._chat.store
        await self._chat.run(store.set_moderation, conversation.id, not conversation.moderation)
        await self._show_conversation(await self._chat.run(store.conversation, conversation.id))

    # --- turns ----------------------------------------------------------------------------------

    async def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        if event.text.startswith("/") and "\n" not in event.text:
            self._prompt.clear()
            await self._run_command(event.text)
            return
        if not self._can_start():
            return
        try:
            if self._conversation is None:
                self._conversation = await self._chat.new_conversation()
                await self._transcript.show([], self._head(self._conversation), None)
        except StoreError as error:
            self._status.show(str(error), "problem")
            return
        self._prompt.clear()
        self._history_place = -1
        edited, self._editing = self._editing, None
        if edited is not None:
            await self._transcript.remove_from(edited.id)
            self._start(self._conversation, self._chat.edit(edited.id, event.text))
            return
        self._asked = event.text
        self._start(self._conversation, self._chat.ask(self._conversation.id, event.text))

    async def _run_command(self, line: str) -> None:
        for action in ACTIONS:
            if action.command == line.strip():
                await self.run_action(action.id)
                return
        self._prompt.put(line)
        self._status.show(f"there is no command {line}; /help lists them", "problem")

    def _can_start(self) -> bool:
        """Whether a turn can start in the open conversation; says why not."""
        if self._load_ended.is_set() and self._chat.loaded is None:
            self._status.show("there is no model to ask", "problem")
            return False
        return not (self._conversation is not None and self._conversation.id in self._growing)

    def action_stop(self) -> None:
        if isinstance(self.screen, ModalScreen):
            self.screen.dismiss(None)
        elif self._list.has_focus:
            self._list.remove_class("-summoned")
            self.screen.set_focus(self._prompt)
        elif self._conversation is not None and self._chat.stop(self._conversation.id):
            return
        elif self._editing is not None:
            self._editing = None
            self._prompt.clear()
            self._show_idle()
        else:
            self._transcript.choose(None)

    async def action_again(self) -> None:
        turn = self._turn_to_work_on()
        if turn is None or not self._can_start() or self._conversation is None:
            return
        message = turn.message
        # Numbers grow along a branch: what stands below an answer's question goes with it.
        await self._transcript.remove_from(message.id + (message.role == "user"))
        self._start(self._conversation, self._chat.regenerate(message.id))

    async def action_go_on(self) -> None:
        last = self._last_turn()
        if last is None or not self._can_start() or self._conversation is None:
            return
        if last.message.role == "user":
            self._start(self._conversation, self._chat.regenerate(last.message.id))
        else:
            self._start(self._conversation, self._chat.continue_answer(last.message.id))

    # --- working on messages --------------------------------------------------------------------

    def action_previous(self) -> None:
        self._transcript.choose_beside(-1)

    def action_next(self) -> None:
        self._transcript.choose_beside(1)

    def on_turn_chosen(self, event: Turn.Chosen) -> None:
        chosen = event.turn if event.turn is not self._transcript.chosen else None
        self._transcript.choose(chosen)
        self.screen.set_focus(self._prompt)

    def _turn_to_work_on(self, role: str | None = None) -> Turn | None:
        """The chosen turn, or the last one (of ``role``)."""
        chosen = self._transcript.chosen
        if chosen is not None:
            return chosen
        fitting = [t for t in self._transcript.turns if role in (None, t.message.role)]
        return fitting[-1] if fitting else None

    def _idle_here(self) -> bool:
        return self._conversation is not None and self._conversation.id not in self._growing

    def action_edit(self) -> None:
        turn = self._turn_to_work_on("user")
        if turn is None or not self._idle_here():
            return
        self._editing = turn.message
        self._prompt.put(turn.message.text)
        self.screen.set_focus(self._prompt)
        self._status.show("editing · enter makes a branch of it · esc gives up", "busy")

    def on_prompt_edit_last(self) -> None:
        self._transcript.choose(None)
        self.action_edit()

    async def action_branch_back(self) -> None:
        await self._walk_branches(-1)

    async def action_branch_on(self) -> None:
        await self._walk_branches(1)

    async def _walk_branches(self, step: int) -> None:
        if self._conversation is None or not self._idle_here():
            return
        branching = await self._chat.run(self._chat.store.branches, self._conversation.id)
        chosen = self._transcript.chosen
        turns = [chosen] if chosen is not None else reversed(self._transcript.turns)
        for turn in turns:
            if turn.message.id in branching:
                if await self._chat.walk_branches(turn.message.id, step):
                    await self._show_conversation(self._conversation)
                return

    def action_copy(self) -> None:
        turn = self._turn_to_work_on("assistant")
        if turn is not None:
            self._copy(turn.text)

    def action_copy_code(self) -> None:
        from baize_tui.app.clipboard import last_code_block

        turn = self._turn_to_work_on("assistant")
        code = last_code_block(turn.text) if turn is not None else None
        if code is None:
            self.notify("There is no code block in this message.")
        else:
            self._copy(code)

    def _copy(self, text: str) -> None:
        from baize_tui.app.clipboard import copy_to_file, system_copy

        self.copy_to_clipboard(text)
        said = f"{len(text)} characters are copied"
        if not system_copy(text):
            # The terminal may not take OSC 52, and does not tell.
            try:
                said += f"; also in {copy_to_file(text, self._chat.cache)}"
            except OSError as error:
                said += f" (no file: {error.strerror})"
        self.notify(said, markup=False)

    async def action_delete(self) -> None:
        turn = self._turn_to_work_on()
        conversation = self._conversation
        if turn is None or conversation is None or not self._idle_here():
            return
        store, message_id = self._chat.store, turn.message.id
        await self._chat.run(store.delete_message, message_id)
        await self._show_conversation(conversation)

        async def undo() -> None:
            await self._chat.run(store.undelete_message, message_id)
            await self._show_conversation(store.conversation(conversation.id))

        self._undo.append(undo)
        self.notify("Deleted. alt+z brings it back.")

    async def action_undo(self) -> None:
        if self._undo:
            await self._undo.pop()()
        else:
            self.notify("There is nothing to undo.")

    def on_conversation_list_delete_asked(self, event: ConversationList.DeleteAsked) -> None:
        self._status.show(f"press delete again to delete {event.title}", "problem")

    async def on_conversation_list_deleted(self, event: ConversationList.Deleted) -> None:
        store, conversation_id = self._chat.store, event.conversation_id
        self._chat.stop(conversation_id)
        await self._chat.run(store.delete, conversation_id)
        if conversation_id == self._open_id:
            await self.action_new()
            self.screen.set_focus(self._list)

        async def undo() -> None:
            await self._chat.run(store.undelete, conversation_id)
            await self._show_conversation(store.conversation(conversation_id))

        self._undo.append(undo)
        self._refresh_list()
        self._show_idle()
        self.notify("Deleted. alt+z brings it back.")

    def action_rename(self) -> None:
        from baize_tui.app.dialogs import LineDialog

        conversation_id = self._list.chosen_id if self._list.has_focus else self._open_id
        if conversation_id is None:
            return

        async def rename(title: str | None) -> None:
            if title:
                await self._chat.run(self._chat.store.rename, conversation_id, title)
                self._refresh_list()

        current = self._chat.store.conversation(conversation_id).title
        self.push_screen(LineDialog("Title of this conversation", current), rename)

    def action_help(self) -> None:
        from baize_tui.app.dialogs import HelpScreen

        self.push_screen(HelpScreen())

    async def on_prompt_history_wanted(self, event: Prompt.HistoryWanted) -> None:
        questions = await self._chat.run(self._chat.store.questions)
        place = min(self._history_place + event.step, len(questions) - 1)
        self._history_place = max(place, -1)
        self._prompt.put(questions[place] if place >= 0 else "")

    def action_editor(self) -> None:
        """Write the draft in the person's own editor."""
        from baize_tui.app.external_editor import edited, editor_command

        try:
            with self.suspend():
                text = edited(self._prompt.text)
        except (OSError, SuspendNotSupported) as error:
            self._status.show(f"{editor_command()} cannot be started: {error}", "problem")
            return
        if text is not None:
            self._prompt.put(text)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # What lies below a dialog does not hear its keys.
        if isinstance(self.screen, ModalScreen) and any(a.id == action for a in ACTIONS):
            return action in ("stop", "quit")
        return True

    def _last_turn(self) -> Turn | None:
        turns = self._transcript.turns
        return turns[-1] if turns else None

    def _start(self, conversation: Conversation, events: Events) -> None:
        self._growing[conversation.id] = None
        self.run_worker(
            self._follow(conversation.id, events),
            group=f"turn {conversation.id}",
            exit_on_error=True,
        )

    async def _follow(self, conversation_id: str, events: Events) -> None:
        """Show a turn from question to answer; the person may look elsewhere meanwhile."""
        assert self._flush_timer is not None
        self._flush_timer.resume()
        self._refresh_list()
        try:
            # A question may come while the model loads: it waits its turn.
            await self._load_ended.wait()
            async with contextlib.aclosing(events):
                async for event in events:
                    await self._show_event(conversation_id, event)
        finally:
            self._growing.pop(conversation_id, None)
            self._texts.pop(conversation_id, None)
            if not self._growing:
                self._flush_timer.pause()
        self._refresh_list()
        if conversation_id == self._open_id:
            places = await self._chat.run(self._chat.store.branches, conversation_id)
            self._transcript.show_branches(places)
            if self._status.text == "reading the prompt":
                self._show_idle()  # an edited answer stands as it is: nothing was generated

    async def _show_event(self, conversation_id: str, event: ChatEvent) -> None:
        here = conversation_id == self._open_id
        turn = self._growing.get(conversation_id) if here else None
        match event:
            case Asked(message):
                self._asked = ""
                if here:
                    await self._transcript.add(message)
                    self._status.show("reading the prompt", "busy")
                self._refresh_list()
            case Prefilling(done=done, total=total) if here:
                part = done / max(total, 1)
                self._status.show(f"reading the prompt {bar(part)} {done} of {total}", "busy")
            case TurnsLeft(first=first) if here:
                await self._transcript.draw_context_line(first)
            case Answering(message):
                self._texts[conversation_id] = (message, message.text)
                if here:
                    last = self._last_turn()
                    going_on = last is not None and last.message.id == message.id
                    turn = last if going_on else await self._transcript.add(message)
                    assert turn is not None
                    turn.show_state(message, " ")
                    self._growing[conversation_id] = turn
                    self._status.show("answering", "busy")
            case Delta(text=text, reasoning=reasoning):
                if conversation_id in self._texts:
                    self._texts[conversation_id] = (self._texts[conversation_id][0], text)
                if turn is not None:
                    turn.want(text)
                    if reasoning:
                        turn.show_reasoning(reasoning, thinking=not text)
            case NotSaved(why=why):
                self._status.show(f"not saved yet: {why}", "problem")
            case Finished(message=message, stats=stats, saved=saved, notices=notices):
                if turn is not None:
                    turn.want(message.text)
                    await turn.flush()
                    turn.show_reasoning(message.reasoning, thinking=False)
                    turn.show_state(message)
                if here:
                    self._show_idle(stats)
                for notice in notices:
                    self.notify(notice, severity="warning", markup=False)
                if not saved:
                    self._status.show("not saved: the disk is full; it is tried again", "problem")
            case Failed(why=why, message=kept):
                if turn is not None and kept is not None:
                    turn.want(kept.text)
                    await turn.flush()
                    turn.show_state(kept)
                if self._asked and not self._prompt.text:
                    self._prompt.text = self._asked  # it was not saved: it is not lost either
                self._asked = ""
                if here:
                    self._status.show(why, "problem")
                    await self._transcript.tell(why)
                else:
                    self.notify(why, severity="error", markup=False)
            case _:
                pass

    async def _draw_growing(self) -> None:
        for turn in list(self._growing.values()):
            if turn is not None and turn.is_attached:
                await turn.flush()

    def on_prompt_scroll_transcript(self, event: Prompt.ScrollTranscript) -> None:
        if event.direction < 0:
            self._transcript.scroll_page_up()
        else:
            self._transcript.scroll_page_down()
