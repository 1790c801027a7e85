"""What a person does with the client and sees of it, by Textual's ``Pilot``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets._toast import Toast

from baize_tui.app.app import BaizeApp
from baize_tui.app.conversation.screen import ConversationScreen
from baize_tui.app.transcript.transcript import Transcript
from baize_tui.app.widgets.conversation_list import BUSY, ConversationList
from baize_tui.app.widgets.prompt import Prompt
from baize_tui.app.widgets.status_line import StatusLine
from tests.chat.scripted_engine import ScriptedCatalog
from tests.conftest import wait_until

Running = AbstractAsyncContextManager[Pilot[int]]
RunApp = Callable[..., Running]


@dataclass
class ScriptedPulls:
    """How pulls proceed: each stops at 25 %."""

    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to let the pulls end."""
    failure: str = ""
    """Why the pulls fail; empty lets them succeed."""
    ended: bool = False
    """Whether a pull has ended, also by being stopped."""


def client(pilot: Pilot[int]) -> BaizeApp:
    app = pilot.app
    assert isinstance(app, BaizeApp)
    return app


def screen(pilot: Pilot[int]) -> ConversationScreen:
    return client(pilot).conversation_screen


def is_open(pilot: Pilot[int], kind: type[Screen[Any]]) -> bool:
    """Whether a screen of this kind is shown, with its widgets, so that it takes keys."""
    shown = pilot.app.screen
    return type(shown) is kind and shown.is_mounted  # another kind of picker is another screen


def catalog(pilot: Pilot[int]) -> ScriptedCatalog:
    catalog = client(pilot).state.chat.catalog
    assert isinstance(catalog, ScriptedCatalog)
    return catalog


def notices(pilot: Pilot[int]) -> str:
    """The texts of the notifications that are on the screen."""
    return "\n".join(str(toast.render()) for toast in pilot.app.screen.query(Toast))


async def say(pilot: Pilot[int], text: str) -> None:
    screen(pilot).query_one(Prompt).insert(text)
    await pilot.press("enter")


def transcript(pilot: Pilot[int]) -> Transcript:
    return screen(pilot).query_one(Transcript)


def texts(pilot: Pilot[int]) -> list[str]:
    return [turn.text for turn in transcript(pilot).turns]


def shown(pilot: Pilot[int]) -> str:
    """The lines of the transcript that are in sight."""
    lines = transcript(pilot)
    return "\n".join(lines.render_line(y).text.rstrip() for y in range(lines.size.height))


def status(pilot: Pilot[int]) -> str:
    return screen(pilot).query_one(StatusLine).text


def titles(pilot: Pilot[int]) -> list[str]:
    options = screen(pilot).query_one(ConversationList)
    rows = (options.get_option_at_index(i) for i in range(options.option_count))
    return [str(row.prompt) for row in rows if not row.disabled]


async def ask(pilot: Pilot[int], question: str, answer: str) -> None:
    """Ask, and see the answer at the end of the conversation, and no sign of one in progress."""
    await say(pilot, question)
    await wait_until(lambda: texts(pilot)[-2:] == [question, answer], "the answer")
    await wait_until(lambda: not screen(pilot).view.is_answering, "its end")
    await wait_until(lambda: not any(title.startswith(BUSY) for title in titles(pilot)), "its mark")


async def ask_and_pause(pilot: Pilot[int], question: str, so_far: str) -> None:
    """Ask an engine that pauses, and see the answer so far."""
    await say(pilot, question)
    await wait_until(lambda: texts(pilot)[-1:] == [so_far], "half the answer")
