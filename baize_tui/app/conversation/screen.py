"""The main screen: conversations, transcript, prompt and status line.

It lays out the widgets, and hands keys, clicks and messages to the objects that do the work.
"""

from __future__ import annotations

from inspect import isawaitable
from typing import ClassVar

from textual import events, getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Input, OptionList, Static, TextArea

from baize_shared.sanitizer import clean_line
from baize_tui.app.actions import ACTIONS, APP_ACTIONS, Action
from baize_tui.app.conversation.commands import TITLES_GROUP, Commands
from baize_tui.app.conversation.conversation_view import CHANGES_GROUP, REST_GROUP
from baize_tui.app.conversation.draft_cost import COUNT_GROUP
from baize_tui.app.conversation.indexing import INDEX_GROUP
from baize_tui.app.conversation.list_updates import READ_GROUP
from baize_tui.app.conversation.parts import make_parts
from baize_tui.app.conversation.slash_commands import command_in, looks_like_command
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.terminal_reports import update_window_title
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
from baize_tui.store.records import parts_text
from baize_tui.translation import msg, tr

NARROW = 60
"""Columns below which there is no room for the list beside the transcript."""
SMALLEST = (30, 8)
"""Columns and lines below which nothing can be shown."""
READING_GROUPS = (READ_GROUP, COUNT_GROUP, REST_GROUP, CHANGES_GROUP, TITLES_GROUP, INDEX_GROUP)
"""Groups of the workers that read the store, or ask the engine, for what is shown."""
MORE_BELOW = msg("↓ more below")
NO_COMMAND = msg("no command {name} · enter again sends it as text · /help lists all")


class ConversationScreen(Screen[None]):
    """Shows what ``chat`` reports; every change of a conversation goes through ``chat``."""

    AUTO_FOCUS = "#prompt"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            action.binding,
            f"run({action.id!r})",
            action.title,
            id=action.id,
            show=False,
            priority=True,
        )
        for action in ACTIONS
        if not action.only_in_prompt and action.id not in APP_ACTIONS
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
        self.offers = FileOffers()
        parts = make_parts(surface, self.queue_lines, self.offers, self._run_chosen)
        self.parts = parts
        self._commands = Commands(parts)
        self.conversation_view = parts.conversation_view
        self.answers = parts.answers
        self.model_loading = parts.model_loading
        self.indexing = parts.indexing

    def compose(self) -> ComposeResult:
        yield self.status
        yield self.conversation_list
        with Vertical(id="column"):
            yield self.heading
            yield self.transcript
            if not self.app._disable_notifications:
                yield Notices(id="notices")
            yield FixedText(
                f"{tr(MORE_BELOW)} · {self._state.keys['end']}", id="more", markup=False
            )
            yield Static("", id="disclaimer", markup=False)
            yield self.queue_lines
            yield self.parts.finding.bar
            yield self.offers
            yield self.prompt
        yield FixedText("", id="too-small", markup=False)

    # --- start and end --------------------------------------------------------------------------

    async def on_mount(self) -> None:
        # Here, so that the list is on the first frame.
        self.parts.list_updates.start()
        self._state.pulls.events.subscribe(self, self._follow_pull)
        self.transcript.unfold_reasoning = self._state.settings.look.reasoning == "open"
        await self.parts.composer.start()
        if self._open_session is not None:
            conversation = await self._state.chat.conversations.get(self._open_session)
            await self.conversation_view.open(conversation)
        else:
            self.conversation_view.show_welcome()
        self.status.show(tr(LOADING), "busy")

    async def save_drafts(self) -> None:
        """Write what is not sent, where this has not happened yet; nothing is sent from then on.

        Raises:
            StoreError: it cannot be written.
        """
        await self.parts.composer.save()
        self._is_ending = True

    def stop_reading(self) -> None:
        """The store is about to be closed: read nothing more."""
        self.parts.composer.stop()
        self.parts.list_updates.stop()
        self.parts.draft_cost.stop()
        for group in READING_GROUPS:
            self.workers.cancel_group(self, group)

    # --- events ---------------------------------------------------------------------------------

    def note_input(self) -> None:
        """The person pressed a key or a mouse button, or pasted; it is handled next."""
        self.parts.idle_status.end_message()

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
        self.parts.idle_status.update()

    def settings_changed(self, event: SettingsChanged) -> None:
        """Show what depends on the settings."""
        if event.table == "look":
            self.transcript.unfold_reasoning = self._state.settings.look.reasoning == "open"
        elif event.table == "terminal":
            update_window_title(self._surface)
        self.conversation_view.show_welcome()
        self.parts.idle_status.update()
        self.parts.draft_cost.count_soon()

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
        self.parts.list_updates.refresh()

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
        self.transcript.follow()

    @on(events.Click, "#status-text")
    def _open_palette(self) -> None:
        self.parts.screens.show_palette()

    @on(OptionList.OptionSelected, "#conversations")
    async def _open_selected(self, event: OptionList.OptionSelected) -> None:
        if event.option.id is not None:
            await self.run_action(f"open_conversation({event.option.id!r})")

    @on(ConversationList.DeletePressed)
    def _confirm_delete(self, event: ConversationList.DeletePressed) -> None:
        self.parts.conversations.confirm_delete(event.title)

    @on(ConversationList.DeleteConfirmed)
    async def _delete_listed(self, event: ConversationList.DeleteConfirmed) -> None:
        await self.run_action(f"delete_conversation({event.conversation_id!r})")

    @on(Input.Changed, "#find-text")
    def _find(self, event: Input.Changed) -> None:
        self.parts.finding.change(event.value)

    @on(FindBar.Step)
    def _find_next(self, event: FindBar.Step) -> None:
        self.parts.finding.step(event.step)

    @on(TextArea.Changed, "#prompt")
    def _draft_changed(self) -> None:
        self.parts.composer.changed()
        self.parts.queue.refresh()
        self.parts.draft_cost.draft_changed()
        self.parts.attaching.draft_changed()

    @on(Prompt.OfferStep)
    def _move_in_offers(self, event: Prompt.OfferStep) -> None:
        self.parts.attaching.move(event.step)

    @on(Prompt.OfferTaken)
    @on(OptionList.OptionSelected, "#offers")
    def _take_offer(self) -> None:
        self.parts.attaching.take()

    @on(Prompt.Submitted)
    async def _send(self, event: Prompt.Submitted) -> None:
        if self._is_ending:
            return  # it was saved with the drafts
        self.prompt.submitted.pop(0)
        text = parts_text(event.parts)
        offered, self._not_a_command = self._not_a_command, ""
        if (given := command_in(text, self._state.actions)) is not None:
            await self.run_command(given.action.id, given.argument)
        elif looks_like_command(text) and text != offered:
            self._not_a_command = text
            self.prompt.put_in_front(event.parts)
            name = clean_line(text.split()[0], 20)
            self.status.show(tr(NO_COMMAND, name=name), "problem")
        elif self.parts.attaching.hold_back():
            self.prompt.put_in_front(event.parts)
        else:
            await self.parts.asking.send(event.parts)

    @on(Prompt.EditLast)
    def _edit_last(self) -> None:
        if not self.parts.asking.take_back():
            self.parts.messages.edit_last()

    @on(QueueLines.Clicked)
    def _take_back_clicked(self) -> None:
        self.parts.asking.take_back()

    @on(Prompt.HistoryStep)
    async def _recall(self, event: Prompt.HistoryStep) -> None:
        await self.run_command("earlier" if event.step > 0 else "later")

    @on(Prompt.ScrollTranscript)
    def _page(self, event: Prompt.ScrollTranscript) -> None:
        self.transcript.page(event.direction)

    # --- actions --------------------------------------------------------------------------------

    async def run_command(self, id: str, argument: str = "") -> None:
        """Run an action as if its key was pressed: a failing store is reported."""
        await self.run_action(f"run({id!r}, {argument!r})")

    def _run_chosen(self, action: Action) -> None:
        self.call_later(self.run_command, action.id)

    async def action_run(self, id: str, argument: str = "") -> None:
        result = self._commands.run(id, argument)
        if isawaitable(result):
            await result

    def stop_answer(self) -> bool:
        """Stop the answer of the open conversation; False if there is none."""
        return self.view.open_id is not None and self.answers.stop(self.view.open_id)

    # --- actions of what can be clicked ---------------------------------------------------------

    async def action_show_sibling(self, message_id: int, step: int) -> None:
        """An arrow below a message was clicked."""
        await self.parts.messages.show_sibling(message_id, step)

    def action_unfold_message(self, message_id: int) -> None:
        """The line of a folded part was clicked."""
        self.parts.messages.unfold_message(message_id)

    async def action_show_details(self, message_id: int) -> None:
        """The line below an answer was clicked."""
        await self.parts.messages.show_details_of(message_id)

    def action_unfold_summary(self) -> None:
        """The line of the summary was clicked."""
        self.transcript.unfold_summary()

    def action_copy_block(self, message_id: int, number: int) -> None:
        """The word above a code block was clicked."""
        self.parts.messages.copy_block(message_id, number)

    def action_use_example(self, number: int) -> None:
        """An example of the welcome was clicked."""
        if number < len(self.prompt.examples):
            self.prompt.change_text(self.prompt.examples[number])
        self._surface.focus_prompt()

    async def action_open_conversation(self, conversation_id: str) -> None:
        """A row of the list was chosen."""
        await self.parts.conversations.open(conversation_id)

    async def action_delete_conversation(self, conversation_id: str) -> None:
        """Delete was pressed twice on a row of the list."""
        await self.parts.conversations.delete(conversation_id)
