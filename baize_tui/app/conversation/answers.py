"""Showing answers as they are generated: each turn from question to saved answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec
from textual.widgets import Static

from baize_shared.progress import TimeLeft, progress_text
from baize_tui.app.conversation.answer_pace import AnswerPace
from baize_tui.app.conversation.conversation_view import CHANGES_GROUP, ConversationView
from baize_tui.app.conversation.draft_cost import DraftCost
from baize_tui.app.conversation.drawing_rate import DrawingRate
from baize_tui.app.conversation.idle_status import IdleStatus
from baize_tui.app.conversation.list_updates import SAVED_AGAIN, ListUpdates
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.terminal_reports import report_end_unseen
from baize_tui.app.conversation.view_state import LiveAnswer
from baize_tui.app.widgets.status_line import (
    LOADING_MODEL,
    READING,
    threads_text,
    waiting_text,
)
from baize_tui.chat.context import ContextUse
from baize_tui.chat.events import (
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    AnswerText,
    ChatEvent,
    LoadingModel,
    MessageSaved,
    SavedAgain,
    SaveFailed,
    Summarizing,
    TurnsDropped,
    WaitingForEngine,
    WordsLeave,
)
from baize_tui.engine.protocol import Prefilling, ThreadsChosen
from baize_tui.measures import left_text
from baize_tui.store.errors import StoreError
from baize_tui.store.records import Conversation, Message
from baize_tui.translation import msg, tr

MACHINE_BUSY = msg("{threads}: the machine is busy")
NOT_SAVED_YET = msg("not saved yet: {why}")
RETRIED = msg("not saved yet: {why}; saving will be retried")
PACE_EVERY_S = 0.5
"""Seconds between two updates of the status line while an answer grows."""
SUMMARIZING = msg("summarizing the oldest turns")
NOT_SUMMARIZED = msg("The oldest turns were dropped without a new summary: {why}")

Events = AsyncGenerator[ChatEvent, None]


class Answers:
    """Follows the turns in progress, in all conversations, and shows the one that is open."""

    def __init__(
        self,
        surface: Surface,
        idle_status: IdleStatus,
        list_updates: ListUpdates,
        draft_cost: DraftCost,
        conversation_view: ConversationView,
    ) -> None:
        self._surface = surface
        self._view = surface.view
        self._idle_status = idle_status
        self._list_updates = list_updates
        self._draft_cost = draft_cost
        self._conversation_view = conversation_view
        self._time_left = TimeLeft()
        self._pace_shown_at = 0.0
        self._to_stop: set[str] = set()
        """Conversations whose turn is stopped as soon as its answer begins."""
        self.on_end: Callable[[str, bool], Awaitable[None]] | None = None
        """Called when a turn has ended, with the conversation's id and whether it ended well."""
        self.drawing_rate = DrawingRate(surface.screen, self._draw)

    @property
    def in_progress(self) -> bool:
        """Whether a turn is in progress, in any conversation."""
        return bool(self._view.live)

    def stop(self, conversation_id: str) -> bool:
        """Stop the turn of a conversation; False if there is none."""
        if self._surface.chat.stop(conversation_id):
            return True
        if conversation_id not in self._view.live:
            return False
        self._to_stop.add(conversation_id)  # its question is being saved, or a model is loaded
        return True

    def start(self, conversation: Conversation, events: Events) -> None:
        """Follow a turn whose question is saved already."""
        self._start(conversation.id, events, None)

    def start_with_message(
        self, conversation_id: str, events: Events, on_unsaved: Callable[[], None]
    ) -> None:
        """Follow a turn that begins by saving the person's message; ``on_unsaved`` is called if it
        cannot be saved."""
        self._start(conversation_id, events, on_unsaved)

    def _start(
        self, conversation_id: str, events: Events, on_unsaved: Callable[[], None] | None
    ) -> None:
        self._view.live[conversation_id] = None
        self._surface.status.show_stop(self._view.is_answering)
        if self._view.is_answering:
            self._surface.transcript.remove_problems()
            if self._surface.state.load_ended.is_set():
                self._idle_status.show_current()
        self._surface.screen.run_worker(
            self._follow(conversation_id, events, on_unsaved),
            group=f"turn {conversation_id}",
            exit_on_error=True,
        )

    async def _follow(
        self, conversation_id: str, events: Events, on_unsaved: Callable[[], None] | None
    ) -> None:
        """Show a turn until it ends; the person may open other conversations meanwhile."""
        load_ended = self._surface.state.load_ended
        begun = time.monotonic()
        self._list_updates.refresh()
        self._time_left = TimeLeft()
        last: ChatEvent | None = None
        try:
            # A message is saved even while the first model is being loaded; its answer waits.
            if on_unsaved is None:
                await load_ended.wait()
            async with contextlib.aclosing(events):
                async for event in events:
                    if last is None and on_unsaved is not None and isinstance(event, AnswerFailed):
                        on_unsaved()
                    last = event
                    self._show(conversation_id, event)
                    if conversation_id in self._to_stop:
                        self._surface.chat.stop(conversation_id)
                    if isinstance(event, MessageSaved):
                        await load_ended.wait()
        finally:
            self._view.live.pop(conversation_id, None)
            self._view.waiting.pop(conversation_id, None)
            self._to_stop.discard(conversation_id)
            if not self._view.live:
                self.drawing_rate.stop()
        try:
            await self._show_end(conversation_id, generated=not isinstance(last, MessageSaved))
            if isinstance(last, AnswerFinished | AnswerFailed):
                seconds = time.monotonic() - begun
                await report_end_unseen(self._surface, conversation_id, seconds)
        except StoreError as error:  # also when the client is ending
            self._surface.status.show(str(error), "problem")
        if self.on_end is not None:
            await self.on_end(conversation_id, _ended_well(last))

    async def _show_end(self, conversation_id: str, *, generated: bool) -> None:
        self._list_updates.refresh()
        if conversation_id != self._view.open_id:
            self._draft_cost.count_now()  # the engine is free again
            return
        stored = await self._surface.chat.conversations.get(conversation_id)
        if conversation_id != self._view.open_id:  # another was opened meanwhile
            self._draft_cost.count_now()
            return
        self._view.conversation = stored
        self._surface.status.show_stop(self._view.is_answering)
        self.show_more_mark()
        await self._conversation_view.show_branches()
        if not generated:
            self._idle_status.show()  # an edited answer: it is only saved
        self._draft_cost.count_now()

    def show_more_mark(self) -> None:
        """Show that text is added below, if the end of a growing answer is out of sight."""
        transcript = self._surface.transcript
        is_added = self._view.is_answering or transcript.has_unseen
        more = is_added and not transcript.following
        mark = self._surface.screen.query_one("#more", Static)
        if mark.display != more:
            mark.display = more

    # --- events ---------------------------------------------------------------------------------

    def _show(self, conversation_id: str, event: ChatEvent) -> None:
        is_open = conversation_id == self._view.open_id
        self._view.waiting.pop(conversation_id, None)
        match event:
            case WaitingForEngine(use):
                self._view.waiting[conversation_id] = waiting_text(use)
                if is_open:
                    self._idle_status.show_current()
            case AnswerText():
                self._grow(conversation_id, event, is_open)
            case MessageSaved(message):
                self._list_updates.refresh()
                if is_open:
                    self._show_question(message)
            case AnswerStarted(message):
                self._begin(conversation_id, message, is_open)
            case AnswerFinished():
                self._finish(event, is_open)
            case AnswerFailed():
                self._fail(event, is_open)
            case SaveFailed(why=why):
                self._surface.begin_problem("answer", tr(NOT_SAVED_YET, why=why))
            case SavedAgain() if not self._surface.chat.unsaved:
                self._surface.end_problem("answer", tr(SAVED_AGAIN))
            case LoadingModel(model=model, progress=progress) if is_open:
                self._show_progress(tr(LOADING_MODEL, model=model), progress)
            case Prefilling(done=done, total=total) if is_open:
                if (live := self._view.live.get(conversation_id)) is not None:
                    live.reading = True
                self._show_progress(
                    tr(READING),
                    done / max(total, 1),
                    tr("{done} of {total}", done=done, total=total),
                )
            case Summarizing(done=done) if is_open:
                self._show_progress(tr(SUMMARIZING), done)
            case TurnsDropped():
                self._show_cut(event, is_open)
            case WordsLeave():
                self._surface.screen.notify(
                    event.line, severity="warning", timeout=20, markup=False
                )
            case ThreadsChosen() if is_open:
                self._show_threads(event)
            case _:
                pass

    def _show_question(self, message: Message) -> None:
        turns = self._surface.transcript.turns
        replaced = [t.message.id for t in turns if t.message.parent_id == message.parent_id]
        if replaced:  # by the new version of a message
            self._surface.transcript.remove_from(replaced[0])
            turns = self._surface.transcript.turns
        above = turns[-1].message.id if turns else None
        self._surface.transcript.add(message)
        if message.parent_id != above:  # another client was faster, and its turns are not shown
            show = self._conversation_view.show_changes
            self._surface.run_worker(show, group=CHANGES_GROUP, exclusive=True)
        if self._surface.state.load_ended.is_set():
            self._idle_status.show_current()

    def _begin(self, conversation_id: str, message: Message, is_open: bool) -> None:
        self._view.live[conversation_id] = LiveAnswer(message)
        if is_open:
            transcript = self._surface.transcript
            turn = transcript.turn(message.id) or transcript.add(message)
            turn.growing = True
            transcript.redraw(turn)
            self._idle_status.show_current()
        loaded = self._surface.chat.active_model.loaded
        if loaded is not None:
            self.drawing_rate.model_uses(loaded.threads)

    def _grow(self, conversation_id: str, event: AnswerText, is_open: bool) -> None:
        live = self._view.live.get(conversation_id)
        if live is None:
            return
        if live.reading:
            live.reading, live.pace = False, AnswerPace()
            if is_open:
                self._idle_status.show_current()
        live.pace.note(event.tokens)
        live.message = msgspec.structs.replace(
            live.message, text=event.text, reasoning=event.reasoning
        )
        live.thinking = event.thinking
        live.drawn = False
        if is_open:
            self.drawing_rate.text_added()

    def _show_threads(self, event: ThreadsChosen) -> None:
        self.drawing_rate.model_uses(event.threads)
        open_id = self._view.open_id
        if open_id is not None and (live := self._view.live.get(open_id)) is not None:
            threads = threads_text(event.threads, event.most)
            live.slowed = tr(MACHINE_BUSY, threads=threads) if event.lowered else ""
            self._idle_status.show_current()

    def _show_progress(self, work: str, done: float, count: str = "") -> None:
        left = left_text(self._time_left, done)
        text = progress_text(work, done, count=count, left=left)
        self._surface.status.show(text, "busy", short=f"{work} {done:.0%}")

    def _show_cut(self, event: TurnsDropped, is_open: bool) -> None:
        if is_open:
            self._surface.transcript.mark_context_start(event.first_kept)
        if event.why_no_summary:
            why = tr(NOT_SUMMARIZED, why=event.why_no_summary)
            self._surface.screen.notify(why, severity="warning", markup=False)

    def _finish(self, event: AnswerFinished, is_open: bool) -> None:
        stats = event.stats
        if is_open:
            self._complete_turn(event.message)
            self._view.last_stats = stats
            used = stats.prompt_tokens + stats.completion_tokens
            self._view.context = ContextUse(used, has_draft=False, effect="fits")
            self._idle_status.show()
        for notice in event.notices:
            self._surface.screen.notify(notice, severity="warning", markup=False)
        self._show_whether_saved()

    def _show_whether_saved(self) -> None:
        """An answer has ended: show until it is saved that it is not."""
        chat = self._surface.chat
        if chat.unsaved:
            why = tr(RETRIED, why=chat.why_unsaved)
            self._surface.begin_problem("answer", why)
        else:
            self._surface.end_problem("answer", tr(SAVED_AGAIN))

    def _fail(self, event: AnswerFailed, is_open: bool) -> None:
        self._show_whether_saved()
        if is_open and event.message is not None:
            self._complete_turn(event.message)
        if is_open:
            self._surface.status.show(event.why, "problem")
            self._surface.transcript.show_problem(event.why)
        else:
            self._surface.screen.notify(event.why, severity="error", markup=False)

    def _complete_turn(self, message: Message) -> None:
        turn = self._surface.transcript.turn(message.id)
        if turn is not None:
            turn.growing = turn.thinking = False
            self._surface.transcript.update_turn(turn, message)

    def _draw(self) -> None:
        """Draw the answer of the open conversation, as far as it was generated."""
        open_id = self._view.open_id
        live = self._view.live.get(open_id) if open_id is not None else None
        if live is None or live.drawn:
            return
        live.drawn = True
        self._show_pace()
        turn = self._surface.transcript.turn(live.message.id)
        if turn is not None:
            turn.thinking = live.thinking
            self._surface.transcript.update_turn(turn, live.message)

    def _show_pace(self) -> None:
        """Show how far the answer is, unless something else is shown."""
        now = time.monotonic()
        if self._surface.status.kind == "busy" and now - self._pace_shown_at >= PACE_EVERY_S:
            self._pace_shown_at = now
            self._idle_status.show_current()


def _ended_well(last: ChatEvent | None) -> bool:
    """Whether a turn whose last event is ``last`` was neither stopped nor failed."""
    match last:
        case AnswerFinished(reason=reason):
            return reason != "cancelled"
        case MessageSaved():
            return True
        case _:
            return False
