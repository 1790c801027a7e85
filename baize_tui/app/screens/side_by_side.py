"""One question answered by several models or adapters, side by side, on the same seed."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncGenerator, Callable
from typing import ClassVar

import msgspec
from textual import events, getters
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from baize_shared.counts import count_text
from baize_shared.progress import progress_text
from baize_shared.sanitizer import clean_line
from baize_shared.speeds import speed_text
from baize_tui.app.screens.dialogs import Dialog
from baize_tui.app.transcript.transcript import Transcript
from baize_tui.app.widgets.status_line import (
    ANSWERING,
    LOADING,
    READING,
    waiting_text,
)
from baize_tui.chat.answer_options import Answerer, AnswerOptions
from baize_tui.chat.chat import Chat
from baize_tui.chat.events import (
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    AnswerText,
    ChatEvent,
    LoadingModel,
    MessageSaved,
    WaitingForEngine,
)
from baize_tui.engine.protocol import Prefilling, Stats
from baize_tui.store.draft_parts import WrittenMessage
from baize_tui.store.records import Conversation, Message

_DRAWS_PER_SECOND = 8
WAITING = "waiting"
_NARROW = 60
"""Columns of the terminal below which the answers are one below the other."""


def _speed_text(stats: Stats) -> str:
    count = count_text(stats.completion_tokens, "token")
    return " · ".join(part for part in (count, speed_text(stats.tokens_per_second)) if part)


def _hint(count: int) -> str:
    answers = "both answers" if count == 2 else "all answers"
    return f"↑ ↓ scroll · esc closes · {answers} stay as branches"


class Column(Vertical):
    """An answer under the name of the model that gives it."""

    DEFAULT_CSS = """
    Column { width: 1fr; height: 1fr; }
    Column .answerer { color: $primary; text-style: bold; padding: 0 2; }
    Column .state { color: $foreground 60%; padding: 0 2; }
    Column .state.-problem { color: $error; }
    Column Transcript { padding: 1 0 0 0; }
    """
    _transcript = getters.query_one(Transcript)
    _state = getters.query_one(".state", Static)

    def __init__(self, answerer: Answerer) -> None:
        super().__init__()
        self.answerer = answerer
        self._message: Message | None = None
        self._thinking = False
        self._drawn = True

    def compose(self) -> ComposeResult:
        yield Static(self.answerer.label, classes="answerer", markup=False)
        yield Static(WAITING, classes="state", markup=False)
        yield Transcript({}, id=None)

    def on_mount(self) -> None:
        self.set_interval(1 / _DRAWS_PER_SECOND, self._draw)

    @property
    def transcript(self) -> Transcript:
        return self._transcript

    @property
    def text(self) -> str:
        """The answer as far as it is shown."""
        return "".join(turn.text for turn in self._transcript.turns)

    def show(self, event: ChatEvent) -> None:
        """Show an event of this column's answer."""
        match event:
            case WaitingForEngine(use):
                self._show_state(waiting_text(use))
            case LoadingModel(progress=done):
                self._show_state(progress_text(LOADING, done))
            case Prefilling(done=done, total=total):
                self._show_state(f"{READING} {done} of {total}")
            case AnswerStarted(message=message):
                self._set_message(message)
            case AnswerText(text=text, reasoning=reasoning) if self._message is not None:
                self._thinking = event.thinking
                self._set_message(
                    msgspec.structs.replace(self._message, text=text, reasoning=reasoning)
                )
                self._show_state(ANSWERING)
            case AnswerFinished(message=message, stats=stats):
                self._set_message(message)
                self._draw()
                self._show_state(_speed_text(stats))
            case AnswerFailed(why=why):
                self._show_state(why, problem=True)
            case _:
                pass

    def _set_message(self, message: Message) -> None:
        self._message, self._drawn = message, False

    def _draw(self) -> None:
        if self._message is None or self._drawn:
            return
        self._drawn = True
        turn = self._transcript.turn(self._message.id) or self._transcript.add(self._message)
        turn.growing = self._message.state == "streaming"
        turn.thinking = turn.growing and self._thinking
        self._transcript.update_turn(turn, self._message)

    def _show_state(self, text: str, *, problem: bool = False) -> None:
        self._state.set_class(problem, "-problem")
        self._state.update(text)


class SideBySide(Dialog[None]):
    """Has the answerers answer one after the other; the answers stay in the conversation as
    branches. Keys scroll all of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_lines(-1)"),
        Binding("down", "scroll_lines(1)"),
        Binding("pageup", "scroll_page(-1)"),
        Binding("pagedown,space", "scroll_page(1)"),
        Binding("home", "scroll_to_start"),
        Binding("end", "scroll_to_end"),
    ]
    DEFAULT_CSS = """
    SideBySide {
        .dialog { width: 96%; height: 94%; }
        .title { max-height: 3; }
        .columns { height: 1fr; }
        .columns.-stacked { layout: vertical; }
    }
    """

    def __init__(
        self,
        chat: Chat,
        conversation: Conversation,
        question: WrittenMessage,
        answerers: tuple[Answerer, ...],
        on_answered: Callable[[], None],
    ) -> None:
        """``on_answered`` is called after each answer; another model may be loaded by then."""
        super().__init__()
        self._chat = chat
        self._conversation = conversation
        self._question = question
        self.question_saved = False
        self._answerers = answerers
        self._on_answered = on_answered

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(clean_line(self._question.text), classes="title", markup=False)
            with Horizontal(classes="columns"):
                for answerer in self._answerers:
                    yield Column(answerer)
            yield Static(_hint(len(self._answerers)), classes="about", markup=False)

    def on_mount(self) -> None:
        self.run_worker(self._answer_all(), group=f"turn {self._conversation.id}")

    def on_resize(self, event: events.Resize) -> None:
        self.query_one(".columns").set_class(event.size.width < _NARROW, "-stacked")

    # --- scrolling ------------------------------------------------------------------------------

    @property
    def _transcripts(self) -> list[Transcript]:
        return [column.transcript for column in self.query(Column)]

    def action_scroll_lines(self, lines: int) -> None:
        for transcript in self._transcripts:
            transcript.scroll_lines(lines)

    def action_scroll_page(self, direction: int) -> None:
        for transcript in self._transcripts:
            transcript.page(direction)

    def action_scroll_to_start(self) -> None:
        for transcript in self._transcripts:
            transcript.scroll_to_start()

    def action_scroll_to_end(self) -> None:
        for transcript in self._transcripts:
            transcript.follow()

    # --- answering ------------------------------------------------------------------------------

    async def _answer_all(self) -> None:
        seed = {"seed": random.SystemRandom().randrange(2**31)}
        question_id: int | None = None
        for column in self.query(Column):
            options = AnswerOptions(sampling=seed, answerer=column.answerer)
            events: AsyncGenerator[ChatEvent, None]
            if question_id is None:
                question = self._question
                events = self._chat.ask(
                    self._conversation.id,
                    question.text,
                    options,
                    attachments=question.attachments,
                    form=question.form,
                )
            else:
                events = self._chat.regenerate(question_id, options)
            async with contextlib.aclosing(events):
                async for event in events:
                    if isinstance(event, MessageSaved):
                        question_id = event.message.id
                        self.question_saved = True
                    if self.is_current:  # else it was closed, and its widgets are gone
                        column.show(event)
            self._on_answered()
            if question_id is None:
                return

    async def action_close(self) -> None:
        self._chat.stop(self._conversation.id)
        self.dismiss(None)
