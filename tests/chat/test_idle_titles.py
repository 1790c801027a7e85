"""Titles that the model writes while nobody waits for an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import msgspec
import psutil
import pytest

from baize_tui.chat.chat import Chat
from baize_tui.chat.events import AnswerFinished
from baize_tui.chat.store_thread import open_store
from baize_tui.chat.titles import INSTRUCTION
from baize_tui.cli.open_chat import LocalCatalog
from baize_tui.engine.client import EngineFailure, Generation, GenerationEvent, WorkerEngine
from baize_tui.engine.protocol import Finished, Generate, Stats, Warm, Warmed
from baize_tui.paths import Paths
from baize_tui.settings import ChatSettings, IdleSettings, IdleTime, Settings
from baize_tui.store.conversations import Store
from baize_tui.store.records import TitleSource, Unsent
from tests.chat.scripted_engine import ScriptedCatalog, ScriptedEngine, model
from tests.conftest import wait_until
from tests.sweeps import swept


class Talk:
    """A conversation with an engine."""

    def __init__(self, chat: Chat, engine: ScriptedEngine, id: str) -> None:
        self.chat = chat
        self.engine = engine
        self.id = id

    async def ask(self, text: str = "Why is the sky blue?") -> AnswerFinished:
        async for event in self.chat.ask(self.id, text):
            last = event
        assert isinstance(last, AnswerFinished), last
        return last

    async def be_idle(self, draft: str = "") -> None:
        """Let all idle work end."""
        done = len(self.engine.warmed)
        conversation = await self.chat.conversations.get(self.id)
        await self.chat.prepare(conversation, conversation.leaf_id, draft)
        await wait_until(lambda: len(self.engine.warmed) > done, "the reading ahead")

    async def title(self) -> tuple[str, TitleSource]:
        conversation = await self.chat.conversations.get(self.id)
        return conversation.title, conversation.title_source


@pytest.fixture
def engine() -> ScriptedEngine:
    engine = ScriptedEngine("It scatters ", "light.")
    engine.title = "Blue sky"
    return engine


async def open_talk(engine: ScriptedEngine, paths: Paths, settings: Settings | None = None) -> Talk:
    catalog = ScriptedCatalog(lambda _name: model())
    store = open_store(paths.conversations_file)
    chat = Chat(store, engine, settings or Settings(), paths.cache, catalog)
    await chat.use_model(model())
    return Talk(chat, engine, (await chat.new_conversation(system="Be brief.")).id)


@pytest.fixture
async def talk(engine: ScriptedEngine, paths: Paths) -> AsyncIterator[Talk]:
    talk = await open_talk(engine, paths)
    yield talk
    await talk.chat.close()


ASKED = ("Why is the sky blue?", "question")


async def test_after_the_first_answer_the_model_writes_a_title_once(talk: Talk) -> None:
    told: list[None] = []
    talk.chat.listen_for_titles(lambda: told.append(None))
    await talk.be_idle()
    assert not talk.engine.title_requests, "nothing was said yet"
    await talk.ask()
    assert await talk.title() == ASKED
    await talk.be_idle()
    assert await talk.title() == ("Blue sky", "model")
    assert len(told) == 1
    await talk.be_idle()
    await talk.ask("And at night?")
    await talk.be_idle()
    assert len(talk.engine.title_requests) == 1
    assert await talk.title() == ("Blue sky", "model")


async def test_the_request_continues_what_the_cache_holds(talk: Talk) -> None:
    await talk.ask()
    await talk.be_idle()
    (request,) = talk.engine.title_requests
    next_question = talk.engine.warmed[-1]
    *told, instruction = request.prompt.messages
    assert told == next_question.prompt.messages[:-1]
    assert told[-1].ids, "the answer keeps its tokens"
    assert instruction.content == INSTRUCTION
    assert msgspec.structs.replace(request.prompt, messages=[]) == msgspec.structs.replace(
        next_question.prompt, messages=[]
    )
    assert request.adapters == next_question.adapters
    assert request.conversation == next_question.conversation == talk.id
    assert request.max_thinking_tokens == 0


@pytest.mark.parametrize("source", ["person", "model"])
async def test_a_title_that_was_chosen_stays(talk: Talk, source: TitleSource) -> None:
    await talk.ask()
    await talk.chat.conversations.rename(talk.id, "Mine", source)
    await talk.be_idle()
    assert not talk.engine.title_requests
    assert await talk.title() == ("Mine", source)


async def test_a_title_that_is_chosen_while_the_model_writes_one_stays(talk: Talk) -> None:
    await talk.ask()
    talk.engine.title_may_end.clear()
    conversation = await talk.chat.conversations.get(talk.id)
    await talk.chat.prepare(conversation, conversation.leaf_id, "")
    await wait_until(lambda: talk.engine.title_requests)
    await talk.chat.conversations.rename(talk.id, "Mine")
    talk.engine.title_may_end.set()
    await wait_until(lambda: talk.engine.saved)
    assert await talk.title() == ("Mine", "person")


async def test_a_question_stops_it_and_it_is_tried_again(talk: Talk) -> None:
    await talk.ask()
    talk.engine.title_may_end.clear()
    conversation = await talk.chat.conversations.get(talk.id)
    await talk.chat.prepare(conversation, conversation.leaf_id, "")
    await wait_until(lambda: talk.engine.title_requests)
    await talk.ask("And at night?")
    assert await talk.title() == ASKED
    talk.engine.title_may_end.set()
    await talk.be_idle()
    assert len(talk.engine.title_requests) == 2
    assert await talk.title() == ("Blue sky", "model")


async def test_none_is_written_while_the_person_writes(talk: Talk) -> None:
    await talk.ask()
    await talk.be_idle("And")
    assert not talk.engine.title_requests
    await talk.chat.drafts.save(Unsent("q", "queued", talk.id, ("And at night?",)))
    await talk.be_idle()
    assert not talk.engine.title_requests
    await talk.chat.drafts.remove("q")
    await talk.be_idle()
    assert await talk.title() == ("Blue sky", "model")


@pytest.mark.parametrize(
    "bad",
    [
        *("", " \n", "«»", "?!", "🐉", "Title:", "conversation", "a long sentence " * 5),
        *(INSTRUCTION, INSTRUCTION.upper()),
    ],
)
async def test_a_bad_title_is_discarded(talk: Talk, bad: str) -> None:
    talk.engine.title = bad
    await talk.ask()
    await talk.be_idle()
    await talk.be_idle()
    assert len(talk.engine.title_requests) == 1
    assert await talk.title() == ASKED


async def test_a_failure_is_not_shown_and_reading_ahead_goes_on(talk: Talk) -> None:
    talk.engine.title = EngineFailure("the prompt has 1000 tokens", "too_long", 1000, 1000)
    await talk.ask()
    await talk.be_idle()
    await wait_until(lambda: talk.engine.saved)
    assert await talk.title() == ASKED


async def test_an_answer_without_a_word_is_not_titled(talk: Talk) -> None:
    talk.engine.script = [EngineFailure("it broke")]
    async for _ in talk.chat.ask(talk.id, "Why is the sky blue?"):
        pass
    await talk.be_idle()
    assert not talk.engine.title_requests


@pytest.mark.parametrize(
    ("work", "titles", "plugged", "written"),
    [
        ("always", True, False, True),
        ("always", False, True, False),
        ("plugged-in", True, True, True),
        ("plugged-in", True, False, False),
        ("never", True, True, False),
    ],
)
async def test_the_settings_decide(
    engine: ScriptedEngine,
    paths: Paths,
    monkeypatch: pytest.MonkeyPatch,
    work: IdleTime,
    titles: bool,
    plugged: bool,
    written: bool,
) -> None:
    class Battery:
        power_plugged = plugged

    monkeypatch.setattr(psutil, "sensors_battery", Battery)
    talk = await open_talk(engine, paths, Settings(idle=IdleSettings(work, titles)))
    await talk.ask()
    conversation = await talk.chat.conversations.get(talk.id)
    await talk.chat.prepare(conversation, conversation.leaf_id, "")
    if work == "always" or (work == "plugged-in" and plugged):
        await wait_until(lambda: engine.saved, "the end of idle work")
    await talk.chat.close()
    assert bool(engine.title_requests) == written


async def test_a_model_whose_cache_cannot_be_cut_writes_none(
    engine: ScriptedEngine, paths: Paths
) -> None:
    engine.can_cut_cache = False
    talk = await open_talk(engine, paths)
    await talk.ask()
    await talk.be_idle()
    assert not engine.title_requests
    await talk.chat.close()


async def test_a_title_of_an_older_schema_stays(talk: Talk, paths: Paths) -> None:
    """Nobody knows where it came from."""
    await talk.ask()
    store = Store(paths.conversations_file)
    with store.database.transaction() as connection:
        connection.execute("UPDATE conversation SET title_source = 'person'")
    store.close()
    await talk.be_idle()
    assert not talk.engine.title_requests


async def test_on_request_a_full_context_loses_its_oldest_turns(
    engine: ScriptedEngine, paths: Paths
) -> None:
    engine.n_ctx = 200
    talk = await open_talk(engine, paths)
    for answer_words in (30, 40):
        engine.script = ["word " * answer_words]
        await talk.ask("word " * 40)
    assert await talk.chat.suggest_title(talk.id) == "Blue sky"
    whole, shortened = engine.title_requests
    assert len(whole.prompt.messages) == 6
    assert len(shortened.prompt.messages) == 4
    await talk.chat.close()


# --- the real model -------------------------------------------------------------------------------


class Watched:
    """A generation whose statistics are kept."""

    def __init__(self, generation: Generation, stats: list[Stats]) -> None:
        self._generation = generation
        self._stats = stats

    def cancel(self) -> None:
        self._generation.cancel()

    async def __aiter__(self) -> AsyncIterator[GenerationEvent]:
        async for event in self._generation:
            if isinstance(event, Finished):
                self._stats.append(event.stats)
            yield event


class RealEngine(WorkerEngine):
    """Keeps what was read and what was reused; idle work ends with saving."""

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        self.titles: list[Stats] = []
        self.warmed: list[Warmed] = []
        self.saved = 0

    def generate(self, request: Generate) -> Generation:
        generation = super().generate(request)
        return Watched(generation, self.titles) if request.grammar else generation

    async def warm(self, request: Warm) -> Warmed:
        self.warmed.append(await super().warm(request))
        return self.warmed[-1]

    async def save_cache(self) -> str:
        problem = await super().save_cache()
        self.saved += 1
        return problem

    def has_saved(self, times: int) -> bool:
        return self.saved >= times


async def talk_with_idle_time(chat: Chat, engine: RealEngine, *, titles: bool) -> tuple[Stats, str]:
    """How a second question was answered, and the title at the end."""
    settings = Settings(
        chat=ChatSettings(max_tokens=16),
        sampling={"temperature": 0},
        idle=IdleSettings(titles=titles),
    )
    chat.change_settings(settings)
    conversation = await chat.new_conversation()
    stats: Stats | None = None
    for question in ("What is the capital of France?", "Is it a big city?"):
        async for event in chat.ask(conversation.id, question):
            if isinstance(event, AnswerFinished):
                stats = event.stats
        conversation = await chat.conversations.get(conversation.id)
        ended = engine.saved + 1
        await chat.prepare(conversation, conversation.leaf_id, "")
        await wait_until(partial(engine.has_saved, ended), "the end of idle work")
    assert stats is not None
    return stats, conversation.title


@pytest.mark.parametrize("layers", swept(["first", "all"], "first"))
async def test_a_title_of_the_real_model_leaves_the_cache_warm(
    layers: str, paths: Paths, smollm2: Path, shallow_smollm2: Path
) -> None:
    file = smollm2 if layers == "all" else shallow_smollm2
    engine = RealEngine(paths)
    catalog = LocalCatalog(paths)
    chat = Chat(open_store(paths.conversations_file), engine, Settings(), paths.cache, catalog)
    await chat.use_model(catalog.find_model(str(file)))
    without, question = await talk_with_idle_time(chat, engine, titles=False)
    titled, title = await talk_with_idle_time(chat, engine, titles=True)
    await chat.close()
    assert question == "What is the capital of France?"
    # What the first layers write is no title.
    assert (title != question) == (layers == "all")
    assert len(title) <= 60
    (written,) = engine.titles
    assert written.prompt_tokens - written.reused_tokens < 40, "only the instruction is read"
    assert [warmed.tokens - warmed.reused < 16 for warmed in engine.warmed] == [True] * 4
    assert titled.prompt_tokens == without.prompt_tokens
    assert titled.reused_tokens == without.reused_tokens > titled.prompt_tokens / 2
