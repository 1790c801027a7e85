"""The screen of a conversation: list, transcript, prompt and status line."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual import events, work
from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.timer import Timer
from textual.widgets import OptionList, Static, TextArea

from baize_tui.app.actions import ACTIONS, Action
from baize_tui.app.conversation_list import ConversationList
from baize_tui.app.live_answers import DRAWS_PER_SECOND
from baize_tui.app.message_actions import MessageActions
from baize_tui.app.prompt import Prompt
from baize_tui.app.status_line import StatusLine, threads_text
from baize_tui.app.transcript import Transcript
from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.formats import UnknownFormat, format_named, system_prompt
from baize_tui.chat.turns import Answerer, Chat, NoModel
from baize_tui.engine.client import EngineFailure
from baize_tui.settings import LookSettings
from baize_tui.store.conversations import StoreError
from baize_tui.store.records import Conversation, Message

WATCH_EVERY_S = 2.0
COUNT_AFTER_S = 0.3
"""A draft is counted when nothing was typed for so long."""
NARROW = 60
SMALLEST = (30, 8)
"""Columns and lines below which nothing can be shown."""
_READING = ("list", "count", "rest of the turns", "title")
"""Groups of workers that read the store or ask the engine for what is shown."""
FIRST_SHOWN, THEN_SHOWN = 60, 500
"""Messages read to open a conversation, and those above them at a time afterwards."""


class ConversationScreen(MessageActions):
    """Shows what ``chat`` tells; never writes to the store itself."""

    AUTO_FOCUS = "#prompt"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(action.key, action.id, action.title, id=action.id, show=False, priority=True)
        for action in ACTIONS
    ]

    def __init__(
        self, chat: Chat, actions: Sequence[Action], *, open_session: str | None, id: str
    ) -> None:
        super().__init__(chat, actions, id=id)
        self._open_session = open_session
        self._history_place = -1
        self._store_version = 0
        self._count_timer: Timer | None = None
        self._watch_timer: Timer | None = None
        self._draft_tokens: int | None = None

    def compose(self) -> ComposeResult:
        yield StatusLine(self._actions)
        yield ConversationList()
        with Vertical(id="column"):
            yield Transcript(self._keys)
            yield Static(f"↓ more has come · {self._keys['end']}", id="more", markup=False)
            yield Static("", id="disclaimer", markup=False)
            yield Prompt([action.command for action in self._actions])
        yield Static("", id="too-small", markup=False)

    def on_resize(self, event: events.Resize) -> None:
        # Not HORIZONTAL_BREAKPOINTS: a class on the screen styles every widget anew.
        columns, lines = event.size
        self.conversation_list.set_class(columns < NARROW, "-narrow")
        too_small = columns < SMALLEST[0] or lines < SMALLEST[1]
        notice = self.query_one("#too-small", Static)
        if notice.display != too_small:
            notice.display = too_small
        if too_small:
            notice.update(
                f"{columns}x{lines} is too small: {SMALLEST[0]}x{SMALLEST[1]} at least. "
                "All goes on."
            )

    # --- start ----------------------------------------------------------------------------------

    async def on_mount(self) -> None:
        self._flush_timer = self.set_interval(1 / DRAWS_PER_SECOND, self._draw_if_due, pause=True)
        self._watch_timer = self.set_interval(WATCH_EVERY_S, self._watch_store)
        # Here, and not a moment later: the list is on the first frame.
        store = self._chat.store
        self._store_version = store.version()
        self.app.pulls.listeners.append(self._pulls_changed)
        self.conversation_list.show(store.conversations(), None, set())
        self.transcript.unfold_reasoning = self._chat.settings.look.reasoning == "open"
        if self._open_session is not None:
            await self._show_conversation(store.conversation(self._open_session))
        else:
            self.transcript.welcome(self._welcome())
        self.status.show("loading", "busy")

    def stop_reading(self) -> None:
        """The store is about to be closed: nothing asks it any more."""
        for timer in (self._count_timer, self._watch_timer):
            if timer is not None:
                timer.stop()
        for group in _READING:
            self.workers.cancel_group(self, group)

    def _pulls_changed(self) -> None:
        if self._is_idle:
            self._show_idle()

    def model_found(self) -> None:
        """The first model was looked for."""
        if self.app.problem:
            self.status.show("no model", "problem")
        if self._conversation is None:
            self.transcript.welcome(self._welcome())
        self._show_disclaimer()

    def model_loaded(self) -> None:
        self._show_disclaimer()
        if not self._live:
            self._show_idle()
        self._count_soon()

    def _show_disclaimer(self) -> None:
        """What a person has to know of a domain stays in sight, whatever scrolls by."""
        if self._conversation is not None:
            domain = self._chat.domain_of(self._conversation)
        else:
            domain = self.app.model.recipe.domain if self.app.model is not None else None
        line = self.query_one("#disclaimer", Static)
        if line.display != (domain is not None):
            line.display = domain is not None
        if domain is not None:
            line.update(domain.disclaimer)

    def _welcome(self) -> str:
        if self.app.problem:
            return (
                f"There is no model yet.\n\n{self.app.problem}\n\n"
                "Nothing is ever downloaded unasked, and all else works without a network: "
                f"reading, finding and copying what you have. {self._keys['help']} shows all keys."
            )
        parts = ["Write below and press Enter. Everything stays on this computer."]
        if self.app.model is not None:
            recipe = self.app.model.recipe
            parts = [self.app.model.title, recipe.description, recipe.notice, *parts]
        parts[0] = f"白泽 Baize · {parts[0]}"
        parts.append(
            f"{self._keys['help']} shows all keys, {self._keys['conversation']} sets system prompt "
            f"and sampling, {self._keys['model']} brings other models."
        )
        return "\n\n".join(part for part in parts if part)

    # --- the status line ------------------------------------------------------------------------

    @work(group="list", exclusive=True)
    async def _refresh_list(self) -> None:
        store = self._chat.store
        try:
            self._store_version = await self._chat.run(store.version)
            conversations = await self._chat.run(store.conversations)
        except StoreError as error:
            self.status.show(str(error), "problem")
        else:
            self.conversation_list.show(conversations, self._open_id, self._chat.busy)

    async def _watch_store(self) -> None:
        """What another client wrote, and what could not be written before."""
        if self._chat.unsaved and await self._chat.save_pending() == 0:
            self.status.show("all is saved again")
        if await self._chat.run(self._chat.store.version) != self._store_version:
            self._refresh_list()

    def _show_idle(self) -> None:
        parts: list[str] = []
        threads = ""
        running = self._chat.running
        if running is not None:
            adapters = self._conversation.adapters if self._conversation is not None else {}
            parts.append(" + ".join([running.model.name, *(n for n, s in adapters.items() if s)]))
            if self._last_stats is not None:
                parts.append(f"{self._last_stats.tokens_per_second:.0f} tokens/s")
                threads = threads_text(self._last_stats.threads, running.loaded.threads)
                parts.append(threads)
            parts.append(self._gauge(running.loaded.n_ctx))
        elif self.app.model is not None:
            parts.append(self.app.model.name)
        moderated = (
            self._conversation.moderation
            if self._conversation is not None
            else self._chat.settings.chat.moderation
        )
        parts.append("moderated" if moderated else "not moderated")
        parts.append(self.app.pulls.words)
        text = " · ".join(part for part in parts if part)
        if threads and not self.status.fits(text):
            text = " · ".join(part for part in parts if part and part != threads)
        self.status.show(text)

    def _gauge(self, n_ctx: int) -> str:
        """How full the context is, with the draft where one is written."""
        if self._draft_tokens is None:
            return f"context {self._context_used}/{n_ctx}" if self._context_used else ""
        said = f"context {self._draft_tokens}/{n_ctx} with this"
        if self._draft_tokens > n_ctx - self._chat.reserve(n_ctx):
            stops = self._chat.overflow_of(self._conversation) == "stop"
            said += ": too full" if stops else ": oldest turns leave"
        return said

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        if event.text_area is self.prompt:
            if not self.prompt.draft:
                self._put_draft_tokens(None)  # it costs nothing: no need to count
            self._count_soon()

    def _count_soon(self) -> None:
        if self._count_timer is not None:
            self._count_timer.stop()
        self._count_timer = self.set_timer(COUNT_AFTER_S, self._count_draft)

    @work(group="count", exclusive=True)
    async def _count_draft(self) -> None:
        draft, tokens = self.prompt.draft, None
        if draft and not (draft.startswith("/") and "\n" not in draft):
            leaf = self._conversation.leaf_id if self._conversation is not None else None
            if self._editing is not None:
                leaf = self._editing.parent_id
            # Where it cannot be counted, sending it says why.
            with contextlib.suppress(EngineFailure, NoModel, StoreError):
                tokens = await self._chat.prompt_tokens(self._conversation, leaf, draft)
        if draft == self.prompt.draft:
            self._put_draft_tokens(tokens)

    def _put_draft_tokens(self, tokens: int | None) -> None:
        before, self._draft_tokens = self._draft_tokens, tokens
        if tokens != before and self._is_idle:
            self._show_idle()

    @property
    def _is_idle(self) -> bool:
        """Nothing goes on here that the status line tells of."""
        return (
            self._chat.running is not None
            and self._open_id not in self._live
            and self._editing is None
        )

    def _head(self, conversation: Conversation) -> str:
        """What the model is told before the first turn."""
        if format_named(self._chat.format_of(conversation)).has_preamble:
            on = "with" if conversation.moderation else "without"
            return f"Baize's own preamble, {on} its moderation sentence"
        return system_prompt(conversation.system, moderation=conversation.moderation)

    # --- conversations --------------------------------------------------------------------------

    async def _show_conversation(self, conversation: Conversation) -> None:
        chat, transcript = self._chat, self.transcript
        self._conversation = conversation
        self._context_used, self._last_stats, self._editing = 0, None, None
        messages: list[Message] = []
        leaf = conversation.leaf_id
        if leaf is not None:
            messages = await chat.run(chat.store.texts, leaf, FIRST_SHOWN)
        live = self._live.get(conversation.id)
        if live is not None:
            messages = [live.message if m.id == live.message.id else m for m in messages]
        transcript.show(messages, self._head(conversation), conversation.context_start)
        self._show_disclaimer()
        self._refresh_list()
        self._show_idle()
        self.status.show_stop(conversation.id in self._live)
        self.run_worker(
            self._show_rest(conversation, messages), group="rest of the turns", exclusive=True
        )

    async def _show_rest(self, conversation: Conversation, messages: Sequence[Message]) -> None:
        """What need not be there at once: the turns above, the branches, the context's use."""
        chat, store, transcript = self._chat, self._chat.store, self.transcript
        first = messages[0] if messages else None
        if messages:
            last = await chat.run(store.message, messages[-1].id)
            if (made := last.provenance) is not None:
                self._context_used = made["prompt_tokens"] + made["completion_tokens"]
                if self._is_idle:
                    self._show_idle()
        while first is not None and first.parent_id is not None:
            earlier = await chat.run(store.texts, first.parent_id, THEN_SHOWN)
            if self._open_id != conversation.id:
                return
            transcript.show_earlier(earlier, conversation.context_start)
            first = earlier[0]
        # What stays is not looked through for garbage again and again: that would show as a jerk.
        gc.freeze()
        await self._show_branches()
        self._count_soon()

    async def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        if event.option_list is not self.conversation_list or event.option.id is None:
            return
        conversation = await self._chat.run(self._chat.store.conversation, event.option.id)
        await self._show_conversation(conversation)
        self._back_to_prompt()

    def _back_to_prompt(self) -> None:
        self.conversation_list.remove_class("-summoned")
        self.set_focus(self.prompt)

    async def on_click(self, event: events.Click) -> None:
        match event.widget.id if event.widget is not None else None:
            case "more":
                self.action_end()
            case "status-text":
                self.app.action_command_palette()

    def action_new(self) -> None:
        self._conversation, self._editing = None, None
        self._context_used, self._last_stats = 0, None
        self.workers.cancel_group(self, "rest of the turns")
        self.transcript.welcome(self._welcome())
        self._show_disclaimer()
        self._refresh_list()
        self._show_idle()
        self.status.show_stop(False)
        self._back_to_prompt()
        self._count_soon()

    def action_list(self) -> None:
        if self.conversation_list.has_focus:
            self._back_to_prompt()
            return
        self.conversation_list.add_class("-summoned")
        self.set_focus(self.conversation_list)

    async def _begun(self) -> Conversation:
        """The open conversation; a new one where none is open."""
        if self._conversation is None:
            self._conversation = await self._chat.new_conversation()
            self.transcript.show([], self._head(self._conversation), None)
            self._show_disclaimer()
            self._refresh_list()
        return self._conversation

    async def change_options(self, changed: Conversation) -> None:
        """Keep what the person chose for a conversation, and show it."""
        await self._chat.run(self._chat.store.set_options, changed)
        if changed.id == self._open_id:
            self._conversation = await self._chat.run(self._chat.store.conversation, changed.id)
            self.transcript.set_head(self._head(changed))
            self._show_disclaimer()
            self._show_idle()
            self._count_soon()

    async def action_moderation(self) -> None:
        conversation = await self._begun()
        moderation = not conversation.moderation
        await self.change_options(msgspec.structs.replace(conversation, moderation=moderation))

    async def action_conversation(self) -> None:
        from baize_tui.app.options_screen import ConversationOptions

        conversation = await self._begun()
        self.app.push_screen(ConversationOptions(self._chat, conversation, self.change_options))

    def action_settings(self) -> None:
        from baize_tui.app.options_screen import SettingsScreen

        self.app.push_screen(SettingsScreen())

    def show_look(self, look: LookSettings) -> None:
        self.transcript.unfold_reasoning = look.reasoning == "open"

    def show_settings(self) -> None:
        """Settings have changed: what is shown of them too."""
        if self._conversation is None:
            self.transcript.welcome(self._welcome())
        if self._is_idle:
            self._show_idle()

    def action_model(self) -> None:
        from baize_tui.app.models_screen import ModelsScreen

        def chosen(name: str | None) -> None:
            if name is not None:
                self.run_worker(self._use_model(name), group="load", exclusive=True)

        current = self._chat.model.name if self._chat.model is not None else None
        self.app.push_screen(ModelsScreen(current), chosen)

    async def action_compare(self) -> None:
        """Choose who answers beside this conversation's model, then what is asked."""
        from baize_tui.app.dialogs import LineDialog
        from baize_tui.app.picker import Choice, Picker
        from baize_tui.app.side_by_side import SideBySide

        if not self._can_start():
            return
        conversation = await self._begun()
        name = conversation.model or (self._chat.model.name if self._chat.model else None)
        if name is None:
            return
        own = Answerer(name, {n: s for n, s in conversation.adapters.items() if s})
        known = [other for other in self._answerers(name) if other != own]
        others: dict[str, tuple[Answerer, ...]] = {one.words: (own, one) for one in known}
        if steps := _trained_over_each_other([*known, own], name):
            others = {f"all of: {', '.join(one.words for one in steps)}": steps, **others}

        def ask(question: str | None, answerers: tuple[Answerer, ...]) -> None:
            if question:
                self.prompt.clear_draft()
                compared = SideBySide(self._chat, conversation, question, answerers)
                self.app.push_screen(compared, lambda _: self._compared(conversation.id))

        def chosen(words: str | None) -> None:
            if words is None:
                return
            if draft := self.prompt.draft.strip():
                ask(draft, others[words])
            else:
                dialog = LineDialog("What both are asked")
                self.app.push_screen(dialog, lambda question: ask(question, others[words]))

        if not others:
            self.status.show("there is no other model or adapter here to compare with", "problem")
            return
        choices = [Choice(words) for words in others]
        self.app.push_screen(Picker(f"Side by side with {own.words}", choices), chosen)

    def _answerers(self, model: str) -> list[Answerer]:
        """``model`` alone and with each of its adapters, and every other model that is here."""
        from baize_tui.catalog.adapters import known_adapters, with_underlying
        from baize_tui.catalog.recipes import known_models

        paths = self.app.paths
        try:
            adapters = [
                with_underlying(a, paths) for a in known_adapters(paths, model) if a.installed
            ]
            models = [m.name for m in known_models(paths) if m.installed]
        except CatalogError as error:
            self.status.show(str(error), "problem")
            return []
        return [
            *(Answerer(model, adapter) for adapter in adapters),
            *(Answerer(name) for name in dict.fromkeys([model, *models])),
        ]

    async def _compared(self, conversation_id: str) -> None:
        await self.workers.wait_for_complete(
            [one for one in self.workers if one.group == f"turn {conversation_id}"]
        )
        if conversation_id == self._open_id:
            await self._reload()

    async def _use_model(self, name: str) -> None:
        try:
            model = self._chat.find_model(name)
        except CatalogError as error:
            self.status.show(str(error), "problem")
            return
        conversation = self._conversation
        if conversation is not None:
            await self.change_options(msgspec.structs.replace(conversation, model=name))
        await self.app.load(model)
        if self._conversation is None:
            self.transcript.welcome(self._welcome())

    def action_rename(self) -> None:
        from baize_tui.app.dialogs import LineDialog

        conversation_id = (
            self.conversation_list.chosen_id if self.conversation_list.has_focus else self._open_id
        )
        if conversation_id is None:
            return
        current = self.conversation_list.title_of(conversation_id)

        async def rename(title: str | None) -> None:
            if title:
                try:
                    await self._rename(conversation_id, title)
                except StoreError as error:
                    self.status.show(str(error), "problem")

        self.app.push_screen(LineDialog("Title of this conversation", current), rename)

    async def _rename(self, conversation_id: str, title: str) -> None:
        store = self._chat.store
        before = (await self._chat.run(store.conversation, conversation_id)).title
        await self._chat.run(store.rename, conversation_id, title)
        self._refresh_list()

        async def undo() -> None:
            await self._chat.run(store.rename, conversation_id, before)
            self._refresh_list()

        self._undo.append(undo)

    def action_title(self) -> None:
        if self._conversation is not None and self._can_start():
            self.run_worker(self._suggest_title(self._conversation.id), group="title")

    async def _suggest_title(self, conversation_id: str) -> None:
        self.status.show("finding a title", "busy")
        try:
            title = await self._chat.suggest_title(conversation_id)
            await self._rename(conversation_id, title)
        except (CatalogError, EngineFailure, NoModel, StoreError, UnknownFormat) as error:
            self.status.show(str(error), "problem")
        else:
            self.status.show(f"titled: {title} · {self._keys['undo']} takes it back")

    def on_conversation_list_delete_asked(self, event: ConversationList.DeleteAsked) -> None:
        self.status.show(f"press delete again to delete {event.title}", "problem")

    async def on_conversation_list_deleted(self, event: ConversationList.Deleted) -> None:
        await self.run_action(f"delete_conversation({event.conversation_id!r})")

    async def action_delete_conversation(self, conversation_id: str) -> None:
        store = self._chat.store
        self._chat.stop(conversation_id)
        await self._chat.run(store.delete, conversation_id)
        if conversation_id == self._open_id:
            self.action_new()
            self.set_focus(self.conversation_list)

        async def undo() -> None:
            await self._chat.run(store.undelete, conversation_id)
            await self._show_conversation(await self._chat.run(store.conversation, conversation_id))

        self._undo.append(undo)
        self._refresh_list()
        self._show_idle()
        self.notify(f"Deleted. {self._keys['undo']} brings it back.")

    # --- asking ---------------------------------------------------------------------------------

    async def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        if event.text.startswith("/") and "\n" not in event.text:
            self.prompt.clear_draft()
            await self._run_command(event.text)
            return
        if not self._can_start():
            return
        try:
            conversation = await self._begun()
        except StoreError as error:
            self.status.show(str(error), "problem")
            return
        self.prompt.clear_draft()
        self._history_place = -1
        edited, self._editing = self._editing, None
        if edited is not None:
            self.transcript.remove_from(edited.id)
            self._start(conversation, self._chat.edit(edited.id, event.text), asks=True)
            return
        self._asked = event.text
        self._start(conversation, self._chat.ask(conversation.id, event.text), asks=True)

    async def _run_command(self, line: str) -> None:
        for action in self._actions:
            if action.command == line.strip():
                await self.run_action(action.id)
                return
        self.prompt.put(line)
        self.status.show(f"there is no command {line}; /help lists them", "problem")

    def _can_start(self) -> bool:
        """Whether a turn can start in the open conversation; says why not."""
        if self.app.load_ended.is_set() and self._chat.loaded is None and self.app.model is None:
            self.status.show("there is no model to ask", "problem")
            return False
        return self._open_id not in self._live

    def action_stop(self) -> None:
        if self.conversation_list.has_focus:
            self._back_to_prompt()
        elif self._conversation is not None and self._chat.stop(self._conversation.id):
            return
        elif self._editing is not None:
            self._editing = None
            self.prompt.clear_draft()
            self._show_idle()
        else:
            self.transcript.choose(None)

    def action_again(self) -> None:
        turn = self._turn_to_work_on()
        if turn is None or not self._can_start() or self._conversation is None:
            return
        message = turn.message
        # Numbers grow along a branch: what stands below an answer's question goes with it.
        self.transcript.remove_from(message.id + (message.role == "user"))
        self._start(self._conversation, self._chat.regenerate(message.id))

    def action_go_on(self) -> None:
        turns = self.transcript.turns
        if not turns or not self._can_start() or self._conversation is None:
            return
        last = turns[-1].message
        if last.role == "user":
            self._start(self._conversation, self._chat.regenerate(last.id))
        else:
            self._start(self._conversation, self._chat.continue_answer(last.id))

    # --- the rest of the actions ----------------------------------------------------------------

    def action_help(self) -> None:
        from baize_tui.app.dialogs import HelpScreen

        self.app.push_screen(HelpScreen(self._actions))

    async def action_quit(self) -> None:
        await self.app.action_quit()

    def action_suspend(self) -> None:
        self.app.action_suspend_process()

    async def on_prompt_history_wanted(self, event: Prompt.HistoryWanted) -> None:
        questions = await self._chat.run(self._chat.store.questions)
        place = min(self._history_place + event.step, len(questions) - 1)
        self._history_place = max(place, -1)
        self.prompt.put(questions[place] if place >= 0 else "")

    def on_prompt_scroll_transcript(self, event: Prompt.ScrollTranscript) -> None:
        self.transcript.page(event.direction)

    def action_editor(self) -> None:
        """Write the draft in the person's own editor."""
        from baize_tui.app.external_editor import edited, editor_command

        try:
            with self.app.suspend():
                text = edited(self.prompt.draft, self.app.exit_watch)
        except (OSError, SuspendNotSupported) as error:
            self.status.show(f"{editor_command()} cannot be started: {error}", "problem")
            return
        if text is not None:
            self.prompt.put(text)


def _trained_over_each_other(answerers: Sequence[Answerer], model: str) -> tuple[Answerer, ...]:
    """The model alone, with a first adapter, with a second over it: the steps of its training.
    Empty where no adapter was trained over another."""
    of_model = [one for one in answerers if one.model == model]
    longest = max(of_model, key=lambda one: len(one.adapters), default=None)
    if longest is None or len(longest.adapters) < 2:
        return ()
    names = list(longest.adapters)
    steps = (dict.fromkeys(names[:count], 1.0) for count in range(len(names) + 1))
    return tuple(Answerer(model, step) for step in steps)
