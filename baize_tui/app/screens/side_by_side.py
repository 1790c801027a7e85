"""One question answered by several models or adapters, side by side, on the same seed."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncGenerator, Callable

import msgspec
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from baize_shared.progress import progress_text
from baize_shared.sanitizer import clean_line
from baize_tui.app.screens.scrolled_together import Column, ScrolledTogether
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
from baize_tui.measures import count_text, speed_text
from baize_tui.store.records import Message
from baize_tui.translation import msg, tr

_DRAWS_PER_SECOND = 8
WAITING = msg("waiting")
HINT_FOR_BOTH = msg("↑ ↓ scroll · esc closes · both answers stay as branches")
HINT_FOR_ALL = msg("↑ ↓ scroll · esc closes · all answers stay as branches")


def _speed_text(stats: Stats) -> str:
    count = count_text(stats.completion_tokens, "token")
    return " · ".join(part for part in (count, speed_text(stats.tokens_per_second)) if part)


def _hint(count: int) -> str:
    return tr(HINT_FOR_BOTH) if count == 2 else tr(HINT_FOR_ALL)


class AnswerColumn(Column):
    """An answer under the name of the model that gives it."""

    def __init__(self, answerer: Answerer) -> None:
        super().__init__(answerer.label, tr(WAITING))
        self.answerer = answerer
        self._message: Message | None = None
        self._thinking = False
        self._drawn = True

    def on_mount(self) -> None:
        self.set_interval(1 / _DRAWS_PER_SECOND, self._draw)

    def show(self, event: ChatEvent) -> None:
        """Show an event of this column's answer."""
        match event:
            case WaitingForEngine(use):
                self.show_state(waiting_text(use))
            case LoadingModel(progress=done):
                self.show_state(progress_text(tr(LOADING), done))
            case Prefilling(done=done, total=total):
                self.show_state(f"{tr(READING)} {tr('{done} of {total}', done=done, total=total)}")
            case AnswerStarted(message=message):
                self._set_message(message)
            case AnswerText(text=text, reasoning=reasoning) if self._message is not None:
                self._thinking = event.thinking
                self._set_message(
                    msgspec.structs.replace(self._message, text=text, reasoning=reasoning)
                )
                self.show_state(tr(ANSWERING))
            case AnswerFinished(message=message, stats=stats):
                self._set_message(message)
                self._draw()
                self.show_state(_speed_text(stats))
            case AnswerFailed(why=why):
                self.show_state(why, problem=True)
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


class SideBySide(ScrolledTogether):
    """Has the answerers answer one after the other; the answers stay in the conversation as
    branches. Keys scroll all of them."""

    def __init__(
        self,
        chat: Chat,
        conversation_id: str,
        question: str,
        ask: Callable[[AnswerOptions], AsyncGenerator[ChatEvent, None]],
        answerers: tuple[Answerer, ...],
        on_answered: Callable[[], None],
    ) -> None:
        """``ask`` asks ``question`` in the conversation. ``on_answered`` is called after each
        answer; another model may be loaded by then."""
        super().__init__()
        self._chat = chat
        self._conversation_id = conversation_id
        self._question = question
        self._ask = ask
        self.question_saved = False
        self._answerers = answerers
        self._on_answered = on_answered

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(clean_line(self._question), classes="title", markup=False)
            with Horizontal(classes="columns"):
                for answerer in self._answerers:
                    yield AnswerColumn(answerer)
            yield Static(_hint(len(self._answerers)), classes="about", markup=False)

    def on_mount(self) -> None:
        self.run_worker(self._answer_all(), group=f"turn {self._conversation_id}")

    # --- answering ------------------------------------------------------------------------------

    async def _answer_all(self) -> None:
        seed = {"seed": random.SystemRandom().randrange(2**31)}
        question_id: int | None = None
        for column in self.query(AnswerColumn):
            options = AnswerOptions(sampling=seed, answerer=column.answerer)
            if question_id is None:
                events = self._ask(options)
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
        self._chat.stop(self._conversation_id)
        self.dismiss(None)
