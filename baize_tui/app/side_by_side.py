"""One question, two answers beside each other, on the same seed: two models, or two adapters."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Static

from baize_tui.app.dialogs import Dialog
from baize_tui.app.status_line import bar
from baize_tui.chat.events import (
    Asked,
    ChatEvent,
    Delta,
    Failed,
    Finished,
    LoadingModel,
)
from baize_tui.chat.turns import Answerer, Chat
from baize_tui.engine.protocol import Prefilling
from baize_tui.store.records import Conversation

if TYPE_CHECKING:
    from baize_tui.app.client import BaizeApp

_DRAWS_PER_SECOND = 8


class _Column(Vertical):
    """One answer under the name of who gives it."""

    DEFAULT_CSS = """
    _Column { width: 1fr; height: 1fr; padding: 0 1; }
    _Column .who { color: $primary; text-style: bold; }
    _Column .state { color: $foreground 60%; margin: 0 0 1 0; }
    _Column .state.-problem { color: $error; }
    _Column VerticalScroll { scrollbar-size-vertical: 1; scrollbar-background: $panel; }
    """

    def __init__(self, answerer: Answerer) -> None:
        super().__init__()
        self.answerer = answerer
        self._text = self._drawn = ""

    def compose(self) -> ComposeResult:
        yield Static(self.answerer.words, classes="who", markup=False)
        yield Static("waits", classes="state", markup=False)
        with VerticalScroll():
            yield Static("", classes="answer", markup=False)

    def on_mount(self) -> None:
        self.set_interval(1 / _DRAWS_PER_SECOND, self._draw)

    def _draw(self) -> None:
        if self._text != self._drawn:
            self._drawn = self._text
            self.query_one(".answer", Static).update(self._text)
            self.query_one(VerticalScroll).scroll_end(animate=False)

    def show(self, event: ChatEvent) -> None:
        match event:
            case LoadingModel(progress=done):
                self._say(f"loading {bar(done)} {done:.0%}")
            case Prefilling(done=done, total=total):
                self._say(f"reading the prompt {done} of {total}")
            case Delta(text=text):
                self._text = text.lstrip()
                self._say("answering")
            case Finished(message=message, stats=stats):
                self._text = message.text.strip()
                self._draw()
                self._say(
                    f"{stats.completion_tokens} tokens, {stats.tokens_per_second:.0f} a second"
                )
            case Failed(why=why):
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
                    yield _Column(answerer)
            yield Static(
                "esc closes; both stay in the conversation, as branches",
                classes="about",
                markup=False,
            )

    def on_mount(self) -> None:
        self.run_worker(self._ask_all(), group=f"turn {self._conversation.id}")

    async def _ask_all(self) -> None:
        seed = {"seed": random.SystemRandom().randrange(2**31)}
        asked: int | None = None
        for column in self.query(_Column):
            events: AsyncGenerator[ChatEvent, None]
            if asked is None:
                text = self._question
                events = self._chat.ask(self._conversation.id, text, seed, column.answerer)
            else:
                events = self._chat.regenerate(asked, seed, column.answerer)
            async with contextlib.aclosing(events):
                async for event in events:
                    if isinstance(event, Asked):
                        asked = event.message.id
                    column.show(event)
            if asked is None:
                return

    async def action_close(self) -> None:
        self._chat.stop(self._conversation.id)
        self.dismiss(None)
