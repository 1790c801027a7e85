"""Following answers: each turn from question to saved answer, wherever the person looks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from textual.screen import Screen
from textual.timer import Timer

from baize_shared.progress import TimeLeft, progress_text
from baize_shared.usable_cpus import usable_cpus
from baize_tui.app.actions import Action, key_name
from baize_tui.app.conversation_list import ConversationList
from baize_tui.app.prompt import Prompt
from baize_tui.app.status_line import StatusLine, threads_text
from baize_tui.app.transcript import Transcript
from baize_tui.chat.chat import Chat
from baize_tui.chat.events import (
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    AnswerText,
    ChatEvent,
    LoadingModel,
    MessageSaved,
    SaveFailed,
    TurnsDropped,
)
from baize_tui.engine.protocol import Prefilling, Stats, ThreadsChosen
from baize_tui.store.records import Conversation, Message

if TYPE_CHECKING:
    from baize_tui.app.client import BaizeApp

DRAWS_PER_SECOND = 10
"""How often a growing answer is drawn at most."""
_DRAWS_BESIDE_FULL_CORES = 5
"""How often while the model computes on every core: each draw makes all of its threads wait."""

Events = AsyncGenerator[ChatEvent, None]


@dataclass
class LiveAnswer:
    """An answer on its way, and whether the screen shows all of it."""

    message: Message
    drawn: bool = True


class LiveAnswers(Screen[None]):
    """A screen with a transcript that shows answers as they come; one streaming path for all."""

    app: BaizeApp

    def __init__(self, chat: Chat, actions: Sequence[Action], *, id: str) -> None:
        super().__init__(id=id)
        self._chat = chat
        self._actions = actions
        self._keys = {action.id: key_name(action.key) for action in actions}
        self._conversation: Conversation | None = None
        self._live: dict[str, LiveAnswer | None] = {}
        self._asked = ""
        self._undo: list[Callable[[], Awaitable[None]]] = []
        self._flush_timer: Timer | None = None
        self._drawn_at = 0.0
        self._draws_per_second = DRAWS_PER_SECOND
        self._last_stats: Stats | None = None
        self._context_used = 0
        self._time_left = TimeLeft()

    # --- parts ----------------------------------------------------------------------------------

    @property
    def prompt(self) -> Prompt:
        return self.query_one(Prompt)

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    @property
    def status(self) -> StatusLine:
        return self.query_one(StatusLine)

    @property
    def conversation_list(self) -> ConversationList:
        return self.query_one(ConversationList)

    @property
    def _open_id(self) -> str | None:
        return self._conversation.id if self._conversation is not None else None

    def _idle_here(self) -> bool:
        return self._conversation is not None and self._conversation.id not in self._live

    # --- what the screen around shows -----------------------------------------------------------

    def _show_idle(self) -> None:
        raise NotImplementedError

    def _refresh_list(self) -> object:
        raise NotImplementedError

    def _count_soon(self) -> None:
        raise NotImplementedError

    async def _show_conversation(self, conversation: Conversation) -> None:
        raise NotImplementedError

    async def _show_branches(self) -> None:
        if self._conversation is not None:
            places = await self._chat.conversations.branches(self._conversation.id)
            self.transcript.show_branches(places)

    async def _reload(self) -> None:
        """Show the open conversation as the store has it now."""
        if self._conversation is not None:
            conversation = await self._chat.conversations.get(self._conversation.id)
            await self._show_conversation(conversation)

    def on_transcript_moved(self) -> None:
        more = not self.transcript.following and self._open_id in self._live
        mark = self.query_one("#more")
        if mark.display != more:
            mark.display = more

    # --- following an answer --------------------------------------------------------------------

    def _start(self, conversation: Conversation, events: Events, *, asks: bool = False) -> None:
        """Follow a turn; one that ``asks`` saves the person's words first."""
        self._live[conversation.id] = None
        self.status.show_stop(True)
        self.run_worker(
            self._follow(conversation.id, events, asks),
            group=f"turn {conversation.id}",
            exit_on_error=True,
        )

    async def _follow(self, conversation_id: str, events: Events, asks: bool) -> None:
        """Show a turn from question to answer; the person may look elsewhere meanwhile."""
        assert self._flush_timer is not None
        self._flush_timer.resume()
        self._refresh_list()
        self._time_left = TimeLeft()
        try:
            # A question may come while the model is looked for: it is saved, and waits its turn.
            if not asks:
                await self.app.load_ended.wait()
            async with contextlib.aclosing(events):
                async for event in events:
                    await self._show_event(conversation_id, event)
                    if isinstance(event, MessageSaved):
                        await self.app.load_ended.wait()
        finally:
            self._live.pop(conversation_id, None)
            if not self._live:
                self._flush_timer.pause()
        self._refresh_list()
        if conversation_id == self._open_id:
            self._conversation = await self._chat.conversations.get(conversation_id)
            self.status.show_stop(False)
            self.on_transcript_moved()
            await self._show_branches()
            if self.status.text == "reading the prompt":
                self._show_idle()  # an edited answer stands as it is: nothing was generated
            self._count_soon()

    async def _show_event(self, conversation_id: str, event: ChatEvent) -> None:
        here = conversation_id == self._open_id
        match event:
            case MessageSaved(message):
                self._asked = ""
                if here:
                    self.transcript.add(message)
                    if self.app.load_ended.is_set():
                        self.status.show("reading the prompt", "busy")
                self._refresh_list()
            case LoadingModel(model=model, progress=progress) if here:
                self._show_progress(f"loading {model}", progress)
            case Prefilling(done=done, total=total) if here:
                part = done / max(total, 1)
                self._show_progress("reading the prompt", part, f"{done} of {total}")
            case TurnsDropped(first_kept=first) if here:
                self.transcript.draw_context_line(first)
            case AnswerStarted(message):
                self._live[conversation_id] = LiveAnswer(message)
                if here:
                    turn = self.transcript.turn_of(message.id) or self.transcript.add(message)
                    turn.growing = True
                    self.transcript.redraw(turn)
                    self.status.show("answering", "busy")
                if self._chat.active_model.running is not None:
                    self._draw_beside(self._chat.active_model.running.loaded.threads)
            case ThreadsChosen(threads=threads, most=most, lowered=lowered) if here:
                self._draw_beside(threads)
                words = f" · {threads_text(threads, most)}: the machine is busy" if lowered else ""
                self.status.show(f"answering{words}", "busy")
            case AnswerText(text=text, reasoning=reasoning):
                if here and self.status.text.startswith("reading the prompt"):
                    self.status.show("answering", "busy")  # a worker died, and another goes on
                if (live := self._live.get(conversation_id)) is not None:
                    live.message = msgspec.structs.replace(
                        live.message, text=text, reasoning=reasoning
                    )
                    live.drawn = False
                    # What comes no faster than it is drawn is drawn at once: one wake-up, not two.
                    self._draw_if_due()
            case SaveFailed(why=why):
                self.status.show(f"not saved yet: {why}", "problem")
            case AnswerFinished(message=message, stats=stats, saved=saved, notices=notices):
                if here:
                    self._end_answer(message)
                    self._last_stats = stats
                    self._context_used = stats.prompt_tokens + stats.completion_tokens
                    self._show_idle()
                for notice in notices:
                    self.notify(notice, severity="warning", markup=False)
                if not saved:
                    self.status.show("not saved: the disk is full; it is tried again", "problem")
            case AnswerFailed(why=why, message=kept):
                if here and kept is not None:
                    self._end_answer(kept)
                if self._asked and not self.prompt.text:
                    self.prompt.put(self._asked)  # it was not saved: it is not lost either
                self._asked = ""
                if here:
                    self.status.show(why, "problem")
                    self.transcript.tell(why)
                else:
                    self.notify(why, severity="error", markup=False)
            case _:
                pass

    def _show_progress(self, what: str, done: float, count: str = "") -> None:
        text = progress_text(what, done, count=count, left=self._time_left.after(done))
        self.status.show(text, "busy")

    def _end_answer(self, message: Message) -> None:
        turn = self.transcript.turn_of(message.id)
        if turn is not None:
            turn.growing = turn.thinking = False
            self.transcript.update_turn(turn, message)

    def _draw_beside(self, threads: int) -> None:
        """The model computes with so many threads from now on."""
        full = threads >= usable_cpus()
        self._draws_per_second = _DRAWS_BESIDE_FULL_CORES if full else DRAWS_PER_SECOND

    def _draw_if_due(self) -> None:
        if time.monotonic() - self._drawn_at >= 0.9 / self._draws_per_second:
            self._draw_growing()

    def _draw_growing(self) -> None:
        """Bring the answer that grows here up to date on the screen."""
        live = self._live.get(self._open_id) if self._open_id is not None else None
        if live is None or live.drawn:
            return
        live.drawn = True
        self._drawn_at = time.monotonic()
        turns = self.transcript.turns
        if turns and turns[-1].message.id == live.message.id:
            turns[-1].thinking = bool(live.message.reasoning) and not live.message.text
            self.transcript.update_turn(turns[-1], live.message)
