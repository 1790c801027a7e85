"""The main screen: conversations, transcript, prompt and status line.

It lays out the widgets, and hands keys, clicks and messages to the objects that do the work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import ClassVar

from textual import events, getters, on
from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Input, OptionList, Static, TextArea

from baize_shared.sanitizer import clean_line
from baize_tui.app.actions import ACTIONS, APP_ACTIONS, ORGANIZING, Action
from baize_tui.app.conversation.answer_forms import AnswerForms
from baize_tui.app.conversation.answers import Answers
from baize_tui.app.conversation.asking import Asking
from baize_tui.app.conversation.attaching import FileAttaching
from baize_tui.app.conversation.available_commands import AvailableCommands
from baize_tui.app.conversation.branch_navigation import BranchNavigation
from baize_tui.app.conversation.comparing import Comparing
from baize_tui.app.conversation.composer import Composer
from baize_tui.app.conversation.conversation_commands import ConversationCommands
from baize_tui.app.conversation.conversation_view import (
    CHANGES_GROUP,
    REST_GROUP,
    ConversationView,
)
from baize_tui.app.conversation.draft_cost import COUNT_GROUP, DraftCost
from baize_tui.app.conversation.draft_keeper import DraftKeeper
from baize_tui.app.conversation.finding import Finding
from baize_tui.app.conversation.idle_status import IdleStatus
from baize_tui.app.conversation.indexing import INDEX_GROUP, Indexing
from baize_tui.app.conversation.list_updates import READ_GROUP, ListUpdates
from baize_tui.app.conversation.looking_inside import LOOK_GROUP, LookingInside
from baize_tui.app.conversation.message_commands import MessageCommands
from baize_tui.app.conversation.message_queue import MessageQueue
from baize_tui.app.conversation.model_loading import ModelLoading
from baize_tui.app.conversation.organizing import Organizing
from baize_tui.app.conversation.personas import Personas
from baize_tui.app.conversation.slash_commands import command_in, looks_like_command
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.terminal_reports import update_window_title
from baize_tui.app.conversation.transfers import Transfers
from baize_tui.app.conversation.undo import UndoStack
from baize_tui.app.conversation.view_state import ViewState
from baize_tui.app.services.background_pulls import PullEvent
from baize_tui.app.state import ClientState, SettingsChanged
from baize_tui.app.transcript.transcript import Transcript
from baize_tui.app.widgets.conversation_list import ConversationList
from baize_tui.app.widgets.file_offers import FileOffers
from baize_tui.app.widgets.find_bar import FindBar
from baize_tui.app.widgets.fixed_text import FixedText
from baize_tui.app.widgets.heading import Heading
from baize_tui.app.widgets.notices import Notices
from baize_tui.app.widgets.prompt import Prompt
from baize_tui.app.widgets.queue_lines import QueueLines
from baize_tui.app.widgets.status_line import LOADING, StatusLine
from baize_tui.store.errors import StoreError
from baize_tui.store.records import parts_text

NARROW = 60
"""Columns below which there is no room for the list beside the transcript."""
SMALLEST = (30, 8)
"""Columns and lines below which nothing can be shown."""
TITLES_GROUP = "title"
READING_GROUPS = (READ_GROUP, COUNT_GROUP, REST_GROUP, CHANGES_GROUP, TITLES_GROUP, INDEX_GROUP)
"""Groups of the workers that read the store, or ask the engine, for what is shown."""
MORE_BELOW = "↓ more below"
NOTHING_TO_UNDO = "There is nothing to undo."
NOTHING_QUEUED = "No message is queued."
THEME_QUESTION = "Theme"
ORGANIZE_TITLE = "Organize conversations"
NO_COMMAND = "no command {name} · enter again sends it as text · /help lists all"


class ConversationScreen(Screen[None]):
    """Shows what ``chat`` reports; every change of a conversation goes through ``chat``."""

    AUTO_FOCUS = "#prompt"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(action.binding, action.id, action.title, id=action.id, show=False, priority=True)
        for action in ACTIONS
        if action.keys and not action.only_in_prompt and action.id not in APP_ACTIONS
    ]
    _too_small = getters.query_one("#too-small", Static)

    def __init__(self, state: ClientState, *, open_session: str | None, id: str) -> None:
        """``open_session`` is the id of the conversation to open at the start."""
        super().__init__(id=id)
        self._state = state
        self._open_session = open_session
        self.view = ViewState()
        self.transcript = Transcript(state.keys)
        self.prompt = Prompt(state.actions)
        self.status = StatusLine(state.actions)
        self.conversation_list = ConversationList()
        self.heading = Heading()
        self.queue_lines = QueueLines(state.keys["take_back"], state.keys["remove"])
        self._is_ending = False
        self._not_a_command = ""
        """The message that looks like a command, and is sent if Enter is pressed again."""
        surface = Surface(
            self,
            state,
            self.view,
            self.transcript,
            self.prompt,
            self.status,
            self.conversation_list,
            self.heading,
        )
        self._surface = surface
        undo_stack = self._undo_stack = UndoStack()
        idle_status = self._idle_status = IdleStatus(surface)
        list_updates = self._list_updates = ListUpdates(surface)
        draft_cost = self._draft_cost = DraftCost(surface, idle_status)
        composer = self._composer = Composer(surface, DraftKeeper(surface))
        queue = self._queue = MessageQueue(surface, composer, self.queue_lines)
        view = ConversationView(surface, idle_status, list_updates, draft_cost, composer, queue)
        self.conversation_view = view
        self.answers = Answers(surface, idle_status, list_updates, draft_cost, view)
        self.model_loading = ModelLoading(surface, idle_status, draft_cost, view)
        self._asking = Asking(surface, idle_status, view, self.answers, composer, queue, undo_stack)
        self._messages = MessageCommands(surface, draft_cost, view, undo_stack, composer)
        self._conversations = ConversationCommands(
            surface, idle_status, list_updates, view, undo_stack
        )
        self._looking_inside = LookingInside(surface, idle_status, view, self.answers)
        self._finding = Finding(surface, view, composer)
        self._branches = BranchNavigation(surface, view, composer, self._finding, undo_stack)
        self._organizing = Organizing(surface, list_updates, view, undo_stack)
        self._offers = FileOffers()
        self._attaching = FileAttaching(surface, view, self._offers)
        self._forms = AnswerForms(surface)
        self._personas = Personas(surface, view, undo_stack)
        self.indexing = Indexing(surface)
        self._available_commands = AvailableCommands(
            surface, self._asking, self._messages, composer, undo_stack
        )
        self._transfers = Transfers(surface, list_updates, self._conversations)
        self._comparing = Comparing(
            surface, view, self._asking, composer, self.model_loading.show_loaded
        )

    def compose(self) -> ComposeResult:
        yield self.status
        yield self.conversation_list
        with Vertical(id="column"):
            yield self.heading
            yield self.transcript
            if not self.app._disable_notifications:
                yield Notices(id="notices")
            yield FixedText(f"{MORE_BELOW} · {self._state.keys['end']}", id="more", markup=False)
            yield Static("", id="disclaimer", markup=False)
            yield self.queue_lines
            yield self._finding.bar
            yield self._offers
            yield self.prompt
        yield FixedText("", id="too-small", markup=False)

    # --- start and end --------------------------------------------------------------------------

    async def on_mount(self) -> None:
        # Here, so that the list is on the first frame.
        self._list_updates.start()
        self._state.pulls.events.subscribe(self, self._follow_pull)
        self.transcript.unfold_reasoning = self._state.settings.look.reasoning == "open"
        await self._composer.start()
        if self._open_session is not None:
            conversation = await self._state.chat.conversations.get(self._open_session)
            await self.conversation_view.open(conversation)
        else:
            self.conversation_view.show_welcome()
        self.status.show(LOADING, "busy")

    async def save_drafts(self) -> None:
        """Write what is not sent, where this has not happened yet; nothing is sent from then on.

        Raises:
            StoreError: it cannot be written.
        """
        await self._composer.save()
        self._is_ending = True

    def stop_reading(self) -> None:
        """The store is about to be closed: read nothing more."""
        self._composer.stop()
        self._list_updates.stop()
        self._draft_cost.stop()
        for group in READING_GROUPS:
            self.workers.cancel_group(self, group)

    def _start_command(self, command: Callable[[], Awaitable[None]], group: str) -> None:
        """Run a command that waits for dialogs or the model, once at a time."""
        if not any(worker.group == group and worker.is_running for worker in self.workers):
            self._surface.run_worker(command, group=group)

    # --- events ---------------------------------------------------------------------------------

    def note_input(self) -> None:
        """The person pressed a key or a mouse button, or pasted; it is handled next."""
        self._idle_status.end_message()

    def on_resize(self, event: events.Resize) -> None:
        # Not HORIZONTAL_BREAKPOINTS: a class on the screen restyles every widget.
        columns, lines = event.size
        self.conversation_list.set_class(columns < NARROW, "-narrow")
        self.heading.screen_resized(lines)
        too_small = columns < SMALLEST[0] or lines < SMALLEST[1]
        if self._too_small.display != too_small:
            self._too_small.display = too_small
        if too_small:
            smallest = f"{SMALLEST[0]}x{SMALLEST[1]}"
            self._too_small.update(
                f"{columns}x{lines} is too small: at least {smallest} is needed. "
                "Everything is still running."
            )

    def _follow_pull(self, _: PullEvent) -> None:
        self._idle_status.update()

    def settings_changed(self, event: SettingsChanged) -> None:
        """Show what depends on the settings."""
        if event.table == "look":
            self.transcript.unfold_reasoning = self._state.settings.look.reasoning == "open"
        elif event.table == "terminal":
            update_window_title(self._surface)
        self.conversation_view.show_welcome()
        self._idle_status.update()
        self._draft_cost.count_soon()

    @on(StatusLine.CutOff)
    def _show_all_of_message(self, event: StatusLine.CutOff) -> None:
        """Show a message for which the status line is too short, unless it is shown elsewhere."""
        shown = {*self.transcript.notes, *(n.message for n in self.app._notifications)}
        if event.text not in shown:
            is_problem = self.status.kind == "problem"
            self.notify(event.text, severity="error" if is_problem else "information", markup=False)

    @on(Transcript.Moved)
    def _show_more_mark(self) -> None:
        self.answers.show_more_mark()
        self._show_keys()

    @on(events.DescendantFocus, "#conversations")
    def _read_whole_list(self) -> None:
        """The person may look through all of the list, or search it."""
        self._list_updates.refresh()

    @on(Transcript.SelectionChanged)
    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _show_keys(self) -> None:
        """Show the keys for what is selected, or has the focus."""
        selected = self.transcript.selected is not None
        self.status.show_target(in_list=self.conversation_list.has_focus, message_selected=selected)

    @on(Transcript.TurnClicked)
    def _select_clicked(self, event: Transcript.TurnClicked) -> None:
        # It is in sight: scrolling would move the text below the mouse.
        self.transcript.select(None if event.turn.selected else event.turn, scroll=False)
        self.set_focus(self.prompt)

    @on(events.Click, "#more")
    def _scroll_to_end(self) -> None:
        self.action_end()

    @on(events.Click, "#status-text")
    def _open_palette(self) -> None:
        self.action_palette()

    @on(OptionList.OptionSelected, "#conversations")
    async def _open_selected(self, event: OptionList.OptionSelected) -> None:
        if event.option.id is not None:
            await self.run_action(f"open_conversation({event.option.id!r})")

    @on(ConversationList.DeletePressed)
    def _confirm_delete(self, event: ConversationList.DeletePressed) -> None:
        self._conversations.confirm_delete(event.title)

    @on(ConversationList.DeleteConfirmed)
    async def _delete_listed(self, event: ConversationList.DeleteConfirmed) -> None:
        await self.run_action(f"delete_conversation({event.conversation_id!r})")

    @on(Input.Changed, "#find-text")
    def _find(self, event: Input.Changed) -> None:
        self._finding.change(event.value)

    @on(FindBar.Step)
    def _find_next(self, event: FindBar.Step) -> None:
        self._finding.step(event.step)

    @on(TextArea.Changed, "#prompt")
    def _draft_changed(self) -> None:
        self._composer.changed()
        self._queue.refresh()
        self._draft_cost.draft_changed()
        self._attaching.draft_changed()

    @on(Prompt.OfferStep)
    def _move_in_offers(self, event: Prompt.OfferStep) -> None:
        self._attaching.move(event.step)

    @on(Prompt.OfferTaken)
    @on(OptionList.OptionSelected, "#offers")
    def _take_offer(self) -> None:
        self._attaching.take()

    @on(Prompt.Submitted)
    async def _send(self, event: Prompt.Submitted) -> None:
        if self._is_ending:
            return  # it was saved with the drafts
        self.prompt.submitted.pop(0)
        text = parts_text(event.parts)
        offered, self._not_a_command = self._not_a_command, ""
        if (given := command_in(text, self._state.actions)) is not None:
            argument = f"({given.argument!r})" if given.argument else ""
            await self.run_action(given.action.id + argument)
        elif looks_like_command(text) and text != offered:
            self._not_a_command = text
            self.prompt.put_in_front(event.parts)
            name = clean_line(text.split()[0], 20)
            self.status.show(NO_COMMAND.format(name=name), "problem")
        else:
            await self._asking.send(event.parts)

    @on(Prompt.EditLast)
    def _edit_last(self) -> None:
        if not self._asking.take_back():
            self._messages.edit_last()

    @on(QueueLines.Clicked)
    def _take_back_clicked(self) -> None:
        self._asking.take_back()

    @on(Prompt.HistoryStep)
    async def _recall(self, event: Prompt.HistoryStep) -> None:
        await self.run_action("earlier" if event.step > 0 else "later")

    @on(Prompt.ScrollTranscript)
    def _page(self, event: Prompt.ScrollTranscript) -> None:
        self.transcript.page(event.direction)

    # --- actions: asking ------------------------------------------------------------------------

    def action_stop(self) -> None:
        if self.selections:
            self.clear_selection()
        elif self.conversation_list.has_focus:
            self._surface.focus_prompt()
        elif self._finding.bar.is_open:
            self._finding.end()
        elif self._attaching.is_open:
            self._attaching.close()
        elif self._looking_inside.stop():
            self._idle_status.show()
        else:
            self._asking.stop()

    def stop_answer(self) -> bool:
        """Stop the answer of the open conversation; False if there is none."""
        return self.view.open_id is not None and self._state.chat.stop(self.view.open_id)

    def action_again(self) -> None:
        self._asking.answer_again()

    def action_go_on(self) -> None:
        self._asking.continue_last()

    def action_compare(self) -> None:
        self._start_command(self._comparing.compare, "compare")

    def action_take_back(self) -> None:
        if not self._asking.take_back():
            self.notify(NOTHING_QUEUED)

    async def action_remove(self) -> None:
        if not await self._asking.remove_queued():
            self.notify(NOTHING_QUEUED)

    async def action_editor(self) -> None:
        """Edit the draft in the person's own editor."""
        from baize_tui.app.services.external_editor import EditorFailed, edit_text, editor_command

        await self._save_before_leaving()
        try:
            with self.app.suspend():
                edited = edit_text(self.prompt.draft, self._state.exit_watch)
        except (OSError, SuspendNotSupported) as error:
            self.status.show(f"{editor_command()} cannot be started: {error}", "problem")
            return
        except EditorFailed as error:
            self.status.show(str(error), "problem")
            return
        self.prompt.change_text(edited.text)
        if edited.problem:
            self.status.show(edited.problem, "problem")

    async def _save_before_leaving(self) -> None:
        """Save the draft before the terminal is given away, however that ends."""
        try:
            await self._composer.save()
        except StoreError as error:
            self.status.show(str(error), "problem")

    # --- actions: messages ----------------------------------------------------------------------

    def action_previous(self) -> None:
        self.transcript.select_neighbour(-1)

    def action_next(self) -> None:
        self.transcript.select_neighbour(1)

    async def action_earlier(self) -> None:
        await self._composer.recall(1)

    async def action_later(self) -> None:
        await self._composer.recall(-1)

    def action_start(self) -> None:
        self.transcript.scroll_to_start()

    def action_end(self) -> None:
        self.transcript.follow()

    def action_edit(self) -> None:
        self._messages.edit()

    def action_summary(self) -> None:
        self._messages.edit_summary()

    async def action_branch_back(self) -> None:
        await self._messages.show_neighbour_branch(-1)

    async def action_branch_on(self) -> None:
        await self._messages.show_neighbour_branch(1)

    async def action_show_sibling(self, message_id: int, step: int) -> None:
        """An arrow below a message was clicked."""
        await self._messages.show_sibling(message_id, step)

    def action_unfold(self) -> None:
        self._messages.unfold()

    def action_unfold_message(self, message_id: int) -> None:
        """The line of a folded part was clicked."""
        self._messages.unfold_message(message_id)

    async def action_details(self) -> None:
        await self._messages.show_details()

    def action_inspect(self) -> None:
        self._start_command(self._looking_inside.show_prompt, LOOK_GROUP)

    def action_tokens(self) -> None:
        self._start_command(self._looking_inside.show_tokens, LOOK_GROUP)

    def action_replay(self) -> None:
        self._start_command(self._looking_inside.replay, LOOK_GROUP)

    async def action_show_details(self, message_id: int) -> None:
        """The line below an answer was clicked."""
        await self._messages.show_details_of(message_id)

    def action_unfold_summary(self) -> None:
        """The line of the summary was clicked."""
        self.transcript.unfold_summary()

    async def action_good(self) -> None:
        await self._messages.mark("good")

    async def action_bad(self) -> None:
        await self._messages.mark("bad")

    async def action_pin(self) -> None:
        await self._messages.pin()

    def action_copy(self) -> None:
        self._messages.copy()

    def action_copy_code(self) -> None:
        self._messages.copy_code()

    def action_use_example(self, number: int) -> None:
        """An example of the welcome was clicked."""
        if number < len(self.prompt.examples):
            self.prompt.change_text(self.prompt.examples[number])
        self._surface.focus_prompt()

    def action_copy_block(self, message_id: int, number: int) -> None:
        """The word above a code block was clicked."""
        self._messages.copy_block(message_id, number)

    async def action_view(self) -> None:
        await self._save_before_leaving()
        self._messages.view()

    async def action_delete(self) -> None:
        await self._messages.delete()

    async def action_undo(self) -> None:
        if not await self._undo_stack.undo():
            self.notify(NOTHING_TO_UNDO)

    # --- actions: searching ---------------------------------------------------------------------

    def action_search(self) -> None:
        self.indexing.start()  # another client may have written much
        self._start_command(self._finding.search_all, "search")

    def action_find(self) -> None:
        self._finding.begin()

    # --- actions: what a message has beside its words -------------------------------------------

    def action_attach(self, path: str = "") -> None:
        if path:
            self._attaching.attach(path)
        else:
            self._surface.focus_prompt()
            self.prompt.insert("@")

    def action_json(self, schema: str = "") -> None:
        self._start_command(partial(self._forms.choose, "json", schema), "form")

    def action_regex(self, expression: str = "") -> None:
        self._start_command(partial(self._forms.choose, "regex", expression), "form")

    def action_grammar(self, file: str = "") -> None:
        self._start_command(partial(self._forms.choose, "grammar", file), "form")

    def action_persona(self, name: str = "") -> None:
        self._start_command(partial(self._personas.choose_persona, name), "persona")

    def action_prompts(self, name: str = "") -> None:
        self._start_command(partial(self._personas.choose_prompt, name), "persona")

    # --- actions: conversations -----------------------------------------------------------------

    def action_new(self) -> None:
        self.conversation_view.open_new()

    def action_list(self) -> None:
        if self.conversation_list.has_focus:
            self._surface.hide_list()
        else:
            self._surface.focus_list()

    async def action_moderation(self) -> None:
        await self._conversations.switch_moderation()

    async def action_conversation(self) -> None:
        await self._conversations.show_options()

    def action_map(self) -> None:
        self._start_command(self._branches.show_map, "map")

    def action_organize(self) -> None:
        from baize_tui.app.screens.palette import Palette

        def run(action: Action | None) -> None:
            if action is not None:
                self.call_later(self.run_action, action.id)

        offered = [a for a in self._available_commands.actions() if a.id in ORGANIZING]
        self.app.push_screen(Palette(offered, ORGANIZE_TITLE), run)

    async def action_pin_conversation(self) -> None:
        await self._organizing.pin()

    def action_tags(self) -> None:
        self._start_command(self._organizing.edit_tags, "organize")

    async def action_archive(self) -> None:
        await self._organizing.archive()

    def action_archived(self) -> None:
        self._start_command(self._organizing.show_archived, "organize")

    def action_trash(self) -> None:
        self._start_command(self._organizing.show_trash, "organize")

    def action_rename(self) -> None:
        self._start_command(self._conversations.rename, "rename")

    def action_title(self) -> None:
        conversation_id = self.view.open_id
        if conversation_id is not None and self._asking.can_start():
            suggest = partial(self._conversations.suggest_title, conversation_id)
            self._start_command(suggest, TITLES_GROUP)

    def action_export(self) -> None:
        self._start_command(self._transfers.export, "transfer")

    def action_import(self) -> None:
        self._start_command(self._transfers.import_file, "transfer")

    async def action_open_conversation(self, conversation_id: str) -> None:
        await self._conversations.open(conversation_id)

    async def action_delete_conversation(self, conversation_id: str) -> None:
        await self._conversations.delete(conversation_id)

    # --- actions: the client --------------------------------------------------------------------

    def action_settings(self) -> None:
        from baize_tui.app.screens.settings import SettingsScreen

        themes = tuple(sorted(self.app.available_themes))
        self.app.push_screen(SettingsScreen(self._state, themes))

    def action_model(self) -> None:
        async def choose() -> None:
            name = await self.model_loading.choose()
            if name is not None:
                use = partial(self.model_loading.use, name)
                self._surface.run_worker(use, group="load", exclusive=True)

        self._start_command(choose, "models")

    def action_palette(self) -> None:
        from baize_tui.app.screens.palette import Palette

        def run(action: Action | None) -> None:
            if action is not None:
                self.call_later(self.run_action, action.id)

        self.app.push_screen(Palette(self._available_commands.actions()), run)

    def action_theme(self) -> None:
        from baize_tui.app.screens.picker import Choice, Picker

        def use(theme: str | None) -> None:
            if theme is not None:
                self.app.theme = theme

        themes = [Choice(name, name) for name in sorted(self.app.available_themes)]
        self.app.push_screen(Picker(THEME_QUESTION, themes), use)

    def action_help(self) -> None:
        from baize_tui.app.screens.dialogs import HelpScreen

        self.app.push_screen(HelpScreen(self._state.actions))

    async def action_quit(self) -> None:
        await self.app.action_quit()

    async def action_suspend(self) -> None:
        await self._save_before_leaving()
        self.app.action_suspend_process()
