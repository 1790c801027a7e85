"""What the engine does while nobody waits for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from baize_tui.chat.chat import Chat
from baize_tui.chat.engine_lock import EngineLock
from baize_tui.chat.events import AnswerFinished, EngineUse
from baize_tui.chat.store_thread import open_store
from baize_tui.engine.protocol import Warm, Warmed
from baize_tui.paths import Paths
from baize_tui.settings import IdleSettings, Settings
from tests.chat.scripted_engine import ScriptedCatalog, ScriptedEngine, model
from tests.conftest import wait_until


class Idle(NamedTuple):
    chat: Chat
    engine: ScriptedEngine
    conversation: str

    async def ask(self, text: str) -> None:
        async for event in self.chat.ask(self.conversation, text):
            last = event
        assert isinstance(last, AnswerFinished)

    async def prepare(self, draft: str = "") -> None:
        conversation = await self.chat.conversations.get(self.conversation)
        await self.chat.prepare(conversation, conversation.leaf_id, draft)


def open_chat(file: Path | None, paths: Paths, settings: Settings, engine: ScriptedEngine) -> Chat:
    catalog = ScriptedCatalog(lambda _name: model())
    return Chat(open_store(file), engine, settings, paths.cache, catalog)


@pytest.fixture
async def idle(paths: Paths) -> AsyncIterator[Idle]:
    engine = ScriptedEngine("Hello.")
    chat = open_chat(paths.conversations_file, paths, Settings(), engine)
    await chat.use_model(model())
    conversation = await chat.new_conversation(system="Be brief.")
    yield Idle(chat, engine, conversation.id)
    await chat.close()


async def test_an_opened_conversation_is_read_ahead_and_saved(idle: Idle) -> None:
    await idle.ask("A question")
    await idle.prepare()
    await wait_until(lambda: idle.engine.saved)
    (warmed,) = idle.engine.warmed
    contents = [message.content for message in warmed.prompt.messages]
    assert contents[1:] == ["A question", "Hello.", ""]
    assert warmed.conversation == idle.conversation == idle.engine.requests[0].conversation


async def test_a_draft_is_read_ahead_but_not_saved(idle: Idle) -> None:
    await idle.prepare("What I am typing")
    await wait_until(lambda: idle.engine.warmed)
    assert idle.engine.warmed[0].prompt.messages[-1].content == "What I am typing"
    await idle.ask("And send")
    assert idle.engine.saved == 0


class SlowEngine(ScriptedEngine):
    """Reads ahead until it is cancelled."""

    def __init__(self) -> None:
        super().__init__("Hello.")
        self.cancelled = 0
        self.reading = asyncio.Event()

    async def warm(self, request: Warm) -> Warmed:
        self.reading.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        raise AssertionError("it waits for ever")


@pytest.mark.parametrize("waiting", ["a question", "a count", "a title", "another model"])
async def test_whoever_needs_the_engine_ends_the_reading_ahead(paths: Paths, waiting: str) -> None:
    engine = SlowEngine()
    chat = open_chat(paths.conversations_file, paths, Settings(), engine)
    await chat.use_model(model())
    conversation = await chat.new_conversation()
    idle = Idle(chat, engine, conversation.id)
    await idle.prepare()
    await engine.reading.wait()
    match waiting:
        case "a question":
            await idle.ask("Hello?")
        case "a count":
            assert await chat.count_context(conversation, None, "two words")
        case "a title":
            await chat.suggest_title(conversation.id)
        case _:
            await chat.use_model(model())
    await wait_until(lambda: engine.cancelled == 1)
    await chat.close()


async def test_closing_does_not_wait_for_the_reading_ahead(paths: Paths) -> None:
    engine = SlowEngine()
    chat = open_chat(paths.conversations_file, paths, Settings(), engine)
    await chat.use_model(model())
    await Idle(chat, engine, (await chat.new_conversation()).id).prepare()
    await engine.reading.wait()
    await chat.close()
    assert engine.cancelled == 1
    assert engine.closed
    assert engine.saved == 1


async def test_a_problem_while_saving_is_told(idle: Idle) -> None:
    notices: list[str] = []
    idle.chat.listen_for_notices(notices.append)
    idle.engine.save_problem = "the state cannot be saved: No space left on device"
    await idle.ask("A question")
    await idle.prepare()
    await wait_until(lambda: notices)
    assert notices == ["the state cannot be saved: No space left on device"]


@pytest.mark.parametrize(
    ("work", "plugged", "reads"),
    [
        ("always", True, True),
        ("always", False, True),
        ("plugged-in", True, True),
        ("plugged-in", False, False),
        ("plugged-in", None, True),
        ("never", True, False),
    ],
)
async def test_the_setting_decides_when_it_reads_ahead(
    paths: Paths,
    monkeypatch: pytest.MonkeyPatch,
    work: str,
    plugged: bool | None,
    reads: bool,
) -> None:
    class Battery(NamedTuple):
        power_plugged: bool

    battery = Battery(plugged) if plugged is not None else None
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery)
    engine = ScriptedEngine("Hello.")
    settings = Settings(idle=IdleSettings(work=work))  # type: ignore[arg-type]
    chat = open_chat(paths.conversations_file, paths, settings, engine)
    await chat.use_model(model())
    await Idle(chat, engine, (await chat.new_conversation()).id).prepare()
    await chat.close()
    assert bool(engine.warmed) == reads


@pytest.mark.parametrize("saved", [True, False])
async def test_only_states_of_saved_conversations_are_kept(paths: Paths, saved: bool) -> None:
    engine = ScriptedEngine("Hello.")
    file = paths.conversations_file if saved else None
    chat = open_chat(file, paths, Settings(), engine)
    await chat.use_model(model())
    await chat.close()
    assert bool(engine.loads[0].snapshot_budget) == saved


async def test_a_deleted_conversation_leaves_no_state(idle: Idle) -> None:
    await idle.chat.conversations.delete(idle.conversation)
    assert idle.engine.forgotten == [idle.conversation]


async def test_idle_work_waits_for_those_who_use_the_engine() -> None:
    lock, done = EngineLock(), asyncio.Event()

    async def work() -> None:
        done.set()

    async with lock.hold(EngineUse("title", "A title")):
        lock.start_idle_work(work)
        await asyncio.sleep(0)
        assert not done.is_set()
        assert lock.is_held
    await done.wait()
    assert not lock.is_held
