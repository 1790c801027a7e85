"""One question, two answers beside each other, on the same seed: two models, or two adapters."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from baize_shared.progress import progress_text
from baize_tui.app.dialogs import Dialog
from baize_tui.app.transcript import Transcript
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
)
from baize_tui.engine.protocol import Prefilling
from baize_tui.store.records import Conversation, Message

if TYPE_CHECKING:
    from baize_tui.app.client import BaizeApp

_DRAWS_PER_SECOND = 8


class Column(Vertical):
    """One answer under the name of who gives it."""

    DEFAULT_CSS = """
    Column { width: 1fr; height: 1fr; }
    Column .who { color: $primary; text-style: bold; padding: 0 2; }
    Column .state { color: $foreground 60%; padding: 0 2; }
    Column .state.-problem { color: $error; }
    Column Transcript { padding: 1 0 0 0; scrollbar-background: $panel; }
    """

    def __init__(self, answerer: Answerer) -> None:
        super().__init__()
        self.answerer = answerer
        self._message: Message | None = None
        self._drawn = True

    def compose(self) -> ComposeResult:
        yield Static(self.answerer.label, classes="who", markup=False)
        yield Static("waits", classes="state", markup=False)
        yield Transcript({}, id=None)

    def on_mount(self) -> None:
        self.set_interval(1 / _DRAWS_PER_SECOND, self._draw)

    @property
    def text(self) -> str:
        """What is shown of the answer."""
        return "".join(turn.text for turn in self.query_one(Transcript).turns)

    def _draw(self) -> None:
        if self._message is None or self._drawn:
            return
        self._drawn = True
        transcript = self.query_one(Transcript)
        turn = transcript.turn_of(self._message.id) or transcript.add(self._message)
        turn.growing = self._message.state == "streaming"
        transcript.update_turn(turn, self._message)

    def _put(self, message: Message) -> None:
        self._message, self._drawn = message, False

    def show(self, event: ChatEvent) -> None:
        match event:
            case LoadingModel(progress=done):
                self._say(progress_text("loading", done))
            case Prefilling(done=done, total=total):
                self._say(f"reading the prompt {done} of {total}")
            case AnswerStarted(message=message):
                self._put(message)
            case AnswerText(text=text, reasoning=reasoning) if self._message is not None:
                self._put(msgspec.structs.replace(self._message, text=text, reasoning=reasoning))
                self._say("answering")
            case AnswerFinished(message=message, stats=stats):
                self._put(message)
                self._draw()
                speed = f"{stats.tokens_per_second:.0f} a second"
                self._say(f"{stats.completion_tokens} tokens, {speed}")
            case AnswerFailed(why=why):
                self._say(why, problem=True)
            case _:
                pass

    def _say(self, text: str, *, problem: bool = False) -> None:
        state = self.query_one(".state", Static)
        state.set_class(problem, "-problem")
        state.update(text)


class SideBySide(Dialog[None]):
    """Asks both, one after the other; the answers stay in the conversation, as branches."""

    app: BaizeApp
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", priority=True)]
    DEFAULT_CSS = """
    SideBySide {
        .dialog { width: 96%; height: 94%; }
        .columns { height: 1fr; }
    }
    """

    def __init__(
        self, chat: Chat, conversation: Conversation, question: str, answerers: tuple[Answerer, ...]
    ) -> None:
        super().__init__()
        self._chat = chat
        self._conversation = conversation
        self._question = question
        self._answerers = answerers

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._question, classes="title", markup=False)
            with Horizontal(classes="columns"):
                for answerer in self._answerers:
                    yield Column(answerer)
            yield Static(
                f"esc closes; {'both' if len(self._answerers) == 2 else 'all'} stay in the "
                "conversation, as branches",
                classes="about",
                markup=False,
            )

    def on_mount(self) -> None:
        self.run_worker(self._ask_all(), group=f"turn {self._conversation.id}")

    async def _ask_all(self) -> None:
        seed = {"seed": random.SystemRandom().randrange(2**31)}
        asked: int | None = None
        for column in self.query(Column):
            events: AsyncGenerator[ChatEvent, None]
            options = AnswerOptions(sampling=seed, answerer=column.answerer)
            if asked is None:
                text = self._question
                events = self._chat.ask(self._conversation.id, text, options)
            else:
                events = self._chat.regenerate(asked, options)
            async with contextlib.aclosing(events):
                async for event in events:
                    if isinstance(event, MessageSaved):
                        asked = event.message.id
                    column.show(event)
            # The status line behind names the model that answered last.
            self.app.conversation_screen.model_loaded()
            if asked is None:
                return

    async def action_close(self) -> None:
        self._chat.stop(self._conversation.id)
        self.dismiss(None)
