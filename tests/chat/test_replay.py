"""An answer that is generated again, compared with its record."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_tui.chat.chat import Chat
from baize_tui.chat.events import AnswerFinished
from baize_tui.chat.replay import changed_facts, first_difference
from baize_tui.chat.store_thread import open_store
from baize_tui.engine.client import EngineFailure, WorkerEngine
from baize_tui.paths import Paths
from baize_tui.settings import ChatSettings, ModelSettings, Settings
from baize_tui.store.records import Message, Provenance
from tests.chat.scripted_engine import ScriptedCatalog, model

MADE = Provenance(
    "plum",
    "/plum.gguf",
    1,
    "ab",
    "chatml",
    {},
    {},
    1,
    2,
    2,
    0,
    9,
    0,
    3,
    0.1,
    0.1,
    0.1,
    "stop",
    "b",
    "1",
)


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_the_first_difference_is_where_they_part(before: list[int], now: list[int]) -> None:
    place = first_difference(before, now)
    if place is None:
        assert before == now
    else:
        assert before[:place] == now[:place]
        assert before[place : place + 1] != now[place : place + 1]


def test_only_what_changed_is_named() -> None:
    made = msgspec.to_builtins(MADE)
    assert changed_facts(made, MADE) == []
    assert changed_facts({**made, "threads": 1}, MADE) == ["threads: 1, now 2"]
    assert changed_facts({**made, "flash_attention": False}, MADE) == [
        "flash attention: off, now on"
    ]
    assert changed_facts({}, MADE) == [], "a record of another program"
    assert changed_facts({**made, "model": "\x1b[2J" + "x" * 99}, MADE)[0].isprintable()


async def answer(chat: Chat, question: str) -> Message:
    conversation = await chat.new_conversation()
    async for event in chat.ask(conversation.id, question):
        last = event
    assert isinstance(last, AnswerFinished)
    return await chat.messages.get(last.message.id)


async def test_a_model_repeats_its_answer(paths: Paths, shallow_smollm2: Path) -> None:
    file = str(shallow_smollm2)
    settings = Settings(
        sampling={"temperature": 0.8},
        model=ModelSettings(threads=1, threads_batch=1),
        chat=ChatSettings(max_tokens=30),
    )
    catalog = ScriptedCatalog(lambda name: model(file, "shallow"))
    chat = Chat(
        open_store(paths.conversations_file), WorkerEngine(paths), settings, paths.cache, catalog
    )
    try:
        await chat.use_model(model(file, "shallow"))
        first = await answer(chat, "Name three fruits.")
        replay = await chat.inspecting.replay(first)
        assert replay.place is None, replay
        tokens = await chat.inspecting.tokens(first)
        assert [token.chosen.id for token in tokens] == first.ids
        place = next(i for i, token in enumerate(tokens) if len(token.likeliest) > 1)
        other = next(c for c in tokens[place].likeliest if c.id != tokens[place].chosen.id)
        begun = await chat.inspecting.take_other(first, tokens, place, other)
        async for event in chat.continue_answer(begun.id):
            last = event
        assert isinstance(last, AnswerFinished)
        continued = await chat.messages.get(begun.id)
        assert continued.ids is not None
        assert continued.ids[: place + 1] == [*(first.ids or [])[:place], other.id]
        edited = msgspec.structs.replace(first, ids=None)
        with pytest.raises(EngineFailure, match="a person wrote"):
            await chat.inspecting.tokens(edited)
    finally:
        await chat.close()
