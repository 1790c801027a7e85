"""Adapters and domains of conversations, with an engine that says what the test tells it to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from baize_tui.catalog.adapters import AdapterRecipe, CatalogAdapter
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Domain, Recipe
from baize_tui.chat.events import Failed, Finished
from baize_tui.chat.turns import Answerer, Chat
from baize_tui.engine.protocol import AdapterUse
from baize_tui.paths import Paths
from baize_tui.settings import Settings
from baize_tui.store.conversations import Store
from tests.chat.scripted_engine import ScriptedEngine

DOMAIN = Domain("healthcare", "No medical advice.", "You answer questions of health.")


@pytest.fixture
async def chat(paths: Paths, tmp_path: Path) -> AsyncIterator[Chat]:
    """One model, another one of a domain, and two adapters."""
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")

    def find_model(name: str | None) -> CatalogModel:
        domain = DOMAIN if name == "doctor" else None
        return CatalogModel(name or "base", file, Recipe(file=str(file), domain=domain))

    def find_adapter(name: str) -> CatalogAdapter:
        recipes = {
            "baize": AdapterRecipe(file="b.gguf", format="baize"),
            "health": AdapterRecipe(file="h.gguf", domain=DOMAIN),
        }
        if name not in recipes:
            raise CatalogError(f"no adapter is called {name}")
        return CatalogAdapter(name, Path(f"/adapters/{name}.gguf"), recipes[name])

    store = Store(paths.conversations_file)
    chat = Chat(
        store, ScriptedEngine("Yes."), Settings(), paths.cache, find_model,
        find_adapter=find_adapter,
    )  # fmt: skip
    await chat.use_model(find_model(None))
    yield chat
    await chat.close()


def engine_of(chat: Chat) -> ScriptedEngine:
    engine = chat._engine
    assert isinstance(engine, ScriptedEngine)
    return engine


async def test_a_conversation_keeps_its_adapters_and_says_so_of_each_answer(chat: Chat) -> None:
    conversation = await chat.new_conversation(adapters={"baize": 0.5, "health": 1.0})
    events = [event async for event in chat.ask(conversation.id, "Hi")]
    (request,) = engine_of(chat).requests
    assert request.adapters == [
        AdapterUse("/adapters/baize.gguf", 0.5),
        AdapterUse("/adapters/health.gguf", 1.0),
    ]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.message.provenance is not None
    assert finished.message.provenance["adapters"] == {"baize": 0.5, "health": 1.0}
    kept = await chat.run(chat.store.conversation, conversation.id)
    assert kept.adapters == {"baize": 0.5, "health": 1.0}
    # Another conversation has none of it.
    other = await chat.new_conversation()
    assert [event async for event in chat.ask(other.id, "Hi")]
    assert engine_of(chat).requests[-1].adapters == []


async def test_an_adapter_brings_its_format(chat: Chat) -> None:
    conversation = await chat.new_conversation(adapters={"baize": 1.0})
    assert chat.format_of(conversation) == "baize"
    off = msgspec.structs.replace(conversation, adapters={"baize": 0.0})
    assert chat.format_of(off) == "template"
    chosen = msgspec.structs.replace(conversation, format="chatml")
    assert chat.format_of(chosen) == "chatml"


async def test_an_adapter_that_is_gone_ends_the_turn_and_keeps_the_question(chat: Chat) -> None:
    conversation = await chat.new_conversation(adapters={"gone": 1.0})
    events = [event async for event in chat.ask(conversation.id, "Hi")]
    assert isinstance(events[-1], Failed)
    assert events[-1].why == "no adapter is called gone"
    (message,) = await chat.run(chat.store.messages, conversation.id)
    assert message.text == "Hi"


async def test_a_domain_is_that_of_the_model_or_of_an_adapter_over_it(chat: Chat) -> None:
    plain = await chat.new_conversation()
    assert chat.domain_of(plain) is None
    with_adapter = msgspec.structs.replace(plain, adapters={"health": 1.0})
    assert chat.domain_of(with_adapter) == DOMAIN
    assert chat.domain_of(msgspec.structs.replace(plain, adapters={"health": 0.0})) is None
    assert chat.domain_of(msgspec.structs.replace(plain, model="doctor")) == DOMAIN


async def test_a_new_conversation_of_a_domain_is_told_what_it_is_about(chat: Chat) -> None:
    await chat.use_model(chat.find_model("doctor"))
    assert (await chat.new_conversation()).system == DOMAIN.system
    assert (await chat.new_conversation(system="My own.")).system == "My own."


async def test_another_answers_once_and_the_conversation_stays_as_it_was(chat: Chat) -> None:
    conversation = await chat.new_conversation()
    assert [event async for event in chat.ask(conversation.id, "Hi", {"seed": 7})]
    question, _ = await chat.run(chat.store.messages, conversation.id)
    other = Answerer("doctor", {"baize": 1.0})
    events = [event async for event in chat.regenerate(question.id, {"seed": 7}, other)]
    finished = events[-1]
    assert isinstance(finished, Finished)
    made = finished.message.provenance
    assert made is not None
    assert (made["model"], made["adapters"]) == ("doctor", {"baize": 1.0})
    assert [request.sampling.seed for request in engine_of(chat).requests] == [7, 7]
    kept = await chat.run(chat.store.conversation, conversation.id)
    assert (kept.model, kept.adapters) == ("base", {})
    branches = await chat.run(chat.store.branches, conversation.id)
    assert branches[finished.message.id] == (2, 2)
    assert other.words == "doctor + baize"
    assert Answerer("doctor", {"baize": 0.5}).words == "doctor + baize 0.5"
