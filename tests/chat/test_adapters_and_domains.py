"""Adapters and domains of conversations, with a scripted engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from baize_tui.catalog.adapters import AdapterRecipe, CatalogAdapter
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Domain, Recipe
from baize_tui.chat.answer_options import Answerer, AnswerOptions
from baize_tui.chat.chat import Chat
from baize_tui.chat.events import AnswerFailed, AnswerFinished
from baize_tui.chat.store_thread import open_store
from baize_tui.engine.protocol import AdapterUse
from baize_tui.paths import Paths
from baize_tui.settings import Settings
from tests.chat.scripted_engine import ScriptedCatalog, ScriptedEngine

DOMAIN = Domain("healthcare", "No medical advice.", "You answer questions of health.")


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine("Yes.")


@pytest.fixture
async def chat(engine: ScriptedEngine, paths: Paths, tmp_path: Path) -> AsyncIterator[Chat]:
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

    store = open_store(paths.conversations_file)
    catalog = ScriptedCatalog(find_model, find_adapter)
    chat = Chat(store, engine, Settings(), paths.cache, catalog)
    await chat.use_model(find_model(None))
    yield chat
    await chat.close()


async def test_a_conversation_keeps_its_adapters_and_records_them_with_each_answer(
    chat: Chat, engine: ScriptedEngine
) -> None:
    conversation = await chat.new_conversation(adapters={"baize": 0.5, "health": 1.0})
    events = [event async for event in chat.ask(conversation.id, "Hi")]
    (request,) = engine.requests
    assert request.adapters == [
        AdapterUse("/adapters/baize.gguf", 0.5),
        AdapterUse("/adapters/health.gguf", 1.0),
    ]
    finished = events[-1]
    assert isinstance(finished, AnswerFinished)
    assert finished.message.provenance is not None
    assert finished.message.provenance["adapters"] == {"baize": 0.5, "health": 1.0}
    kept = await chat.conversations.get(conversation.id)
    assert kept.adapters == {"baize": 0.5, "health": 1.0}
    # Another conversation has no adapters.
    other = await chat.new_conversation()
    assert [event async for event in chat.ask(other.id, "Hi")]
    assert engine.requests[-1].adapters == []


async def test_an_adapter_sets_the_prompt_format(chat: Chat) -> None:
    conversation = await chat.new_conversation(adapters={"baize": 1.0})
    assert chat.options.prompt_format(conversation) == "baize"
    off = msgspec.structs.replace(conversation, adapters={"baize": 0.0})
    assert chat.options.prompt_format(off) == "template"
    chosen = msgspec.structs.replace(conversation, format="chatml")
    assert chat.options.prompt_format(chosen) == "chatml"


async def test_a_missing_adapter_ends_the_turn_and_keeps_the_question(chat: Chat) -> None:
    conversation = await chat.new_conversation(adapters={"gone": 1.0})
    events = [event async for event in chat.ask(conversation.id, "Hi")]
    assert isinstance(events[-1], AnswerFailed)
    assert events[-1].why == "no adapter is called gone"
    (message,) = await chat.conversations.shown_messages(conversation.id)
    assert message.text == "Hi"


async def test_the_domain_comes_from_the_model_or_an_adapter(chat: Chat) -> None:
    plain = await chat.new_conversation()
    assert chat.options.domain(plain) is None
    with_adapter = msgspec.structs.replace(plain, adapters={"health": 1.0})
    assert chat.options.domain(with_adapter) == DOMAIN
    assert chat.options.domain(msgspec.structs.replace(plain, adapters={"health": 0.0})) is None
    assert chat.options.domain(msgspec.structs.replace(plain, model="doctor")) == DOMAIN


async def test_a_new_conversation_takes_the_system_prompt_of_its_domain(chat: Chat) -> None:
    await chat.use_model(chat.catalog.find_model("doctor"))
    assert (await chat.new_conversation()).system == DOMAIN.system
    assert (await chat.new_conversation(system="My own.")).system == "My own."


async def test_another_model_answers_once_and_the_conversation_keeps_its_own(
    chat: Chat, engine: ScriptedEngine
) -> None:
    conversation = await chat.new_conversation()
    seed = AnswerOptions(sampling={"seed": 7})
    assert [event async for event in chat.ask(conversation.id, "Hi", seed)]
    question, _ = await chat.conversations.shown_messages(conversation.id)
    other = Answerer("doctor", {"baize": 1.0})
    options = AnswerOptions(sampling={"seed": 7}, answerer=other)
    events = [event async for event in chat.regenerate(question.id, options)]
    finished = events[-1]
    assert isinstance(finished, AnswerFinished)
    made = finished.message.provenance
    assert made is not None
    assert (made["model"], made["adapters"]) == ("doctor", {"baize": 1.0})
    assert [request.sampling.seed for request in engine.requests] == [7, 7]
    kept = await chat.conversations.get(conversation.id)
    assert (kept.model, kept.adapters) == ("base", {})
    branches = await chat.conversations.branches(conversation.id)
    assert branches[finished.message.id] == (2, 2)
    assert other.label == "doctor + baize"
    assert Answerer("doctor", {"baize": 0.5}).label == "doctor + baize 0.5"
