"""Loading models, and continuing a conversation with its own model."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Static

from baize_tui.app.screens.models import ModelsScreen
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Domain, Recipe, write_recipe
from baize_tui.engine.client import EngineFailure
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from tests.app.pilot import (
    RunApp,
    ask,
    catalog,
    client,
    is_open,
    say,
    screen,
    status,
    texts,
    transcript,
)
from tests.chat.scripted_engine import ScriptedEngine, model
from tests.conftest import wait_until


def conversation_with(model: str, paths: Paths) -> str:
    """Store a conversation that began with ``model``; returns its id."""
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="", moderation=False, model=model, title="T")
    store.close()
    return conversation.id


async def test_a_model_that_does_not_load_is_reported(run_app: RunApp) -> None:
    engine = ScriptedEngine()
    engine.load_failure = EngineFailure("x.gguf is not a GGUF file", "load")
    async with run_app(engine) as pilot:
        await wait_until(lambda: "not a GGUF" in status(pilot), "the message")


async def test_a_conversation_continues_with_its_own_model(
    run_app: RunApp, paths: Paths, tmp_path: Path
) -> None:
    file = tmp_path / "own.gguf"
    file.write_bytes(b"weights")
    write_recipe("own", Recipe(file=str(file)), paths)
    id = conversation_with("own", paths)
    async with run_app(ScriptedEngine("Yes."), open_session=id) as pilot:
        await ask(pilot, "Hi", "Yes.")
        running = client(pilot).state.chat.active_model.model
        assert running is not None
        assert running.name == "own"


async def test_a_client_opened_with_a_conversation_loads_the_model_of_that_at_once(
    run_app: RunApp, paths: Paths
) -> None:
    id = conversation_with("own", paths)

    def find(name: str | None) -> CatalogModel:
        return model(f"/models/{name or 'default'}.gguf", name or "default")

    engine = ScriptedEngine("Yes.")
    async with run_app(engine, open_session=id, find_model=find) as pilot:
        await wait_until(lambda: status(pilot).startswith("own · "), "its own model")
        await ask(pilot, "Hi", "Yes.")
        assert [load.path for load in engine.loads] == ["/models/own.gguf"]
        await pilot.press("ctrl+n")
        await wait_until(lambda: "default (loads with" in status(pilot), "the default model")
        await ask(pilot, "Hi", "Yes.")
        assert [load.path for load in engine.loads[1:]] == ["/models/default.gguf"]


@pytest.mark.parametrize("default_is_known", [True, False])
async def test_the_model_of_the_opened_conversation_needs_no_default(
    default_is_known: bool, run_app: RunApp, paths: Paths
) -> None:
    id = conversation_with("own", paths)

    def find(name: str | None) -> CatalogModel:
        if name is None and not default_is_known:
            raise CatalogError("there is no default")
        return model(f"/models/{name}.gguf", name or "default")

    engine = ScriptedEngine("Yes.")
    async with run_app(engine, open_session=id, find_model=find) as pilot:
        await ask(pilot, "Hi", "Yes.")
        assert [load.path for load in engine.loads] == ["/models/own.gguf"]


async def test_no_other_model_answers_for_a_missing_one_until_it_is_chosen(
    run_app: RunApp, paths: Paths
) -> None:
    id = conversation_with("gone", paths)

    def find(name: str | None) -> CatalogModel:
        if name == "gone":
            raise CatalogError("the file of gone is gone")
        return model()

    engine = ScriptedEngine("Yes.")
    async with run_app(engine, open_session=id, find_model=find) as pilot:
        await say(pilot, "Hi")
        await wait_until(lambda: "the file of gone is gone" in status(pilot), "the reason")
        assert texts(pilot) == ["Hi"]
        for _ in range(2):
            await pilot.press("ctrl+g")
            await wait_until(lambda: not screen(pilot).answers.in_progress, "the end")
        assert transcript(pilot).notes.count("the file of gone is gone") == 1
        await screen(pilot).model_loading.use("scripted")
        await pilot.press("ctrl+g")
        await wait_until(lambda: texts(pilot) == ["Hi", "Yes."], "the answer")


async def test_a_failed_load_of_the_conversations_model_is_one_line(
    run_app: RunApp, paths: Paths
) -> None:
    id = conversation_with("own", paths)
    engine = ScriptedEngine("Yes.")
    engine.load_failure = EngineFailure("own.gguf is not a GGUF file", "load")
    async with run_app(engine, open_session=id) as pilot:
        await wait_until(lambda: "not a GGUF file" in status(pilot), "the reason")
        await say(pilot, "Hi")
        await wait_until(lambda: "not a GGUF file" in status(pilot), "the reason")
        assert texts(pilot) == ["Hi"]
        engine.load_failure = None
        await pilot.press("ctrl+g")
        await wait_until(lambda: texts(pilot) == ["Hi", "Yes."], "the answer")


async def test_every_conversation_of_a_domain_shows_its_disclaimer(run_app: RunApp) -> None:
    domain = Domain("healthcare", "This is no medical advice.")
    async with run_app(ScriptedEngine("Rest.")) as pilot:
        plain = catalog(pilot).find_model

        def doctor(name: str | None) -> CatalogModel:
            found = plain(name)
            recipe = Recipe(file=found.recipe.file, domain=domain)
            return CatalogModel(found.name, found.path, recipe)

        catalog(pilot).find_model = doctor
        await screen(pilot).model_loading.load(doctor("scripted"))
        line = screen(pilot).query_one("#disclaimer", Static)
        for _ in range(2):
            await pilot.press("ctrl+n")
            await wait_until(lambda: line.display, "the disclaimer")
            await ask(pilot, "My head aches", "Rest.")
            assert line.region.height > 0
            assert str(line.render()) == "This is no medical advice."


async def test_the_model_of_a_conversation_is_chosen_and_loaded(
    run_app: RunApp, paths: Paths, tmp_path: Path
) -> None:
    file = tmp_path / "other.gguf"
    file.write_bytes(b"weights")
    write_recipe("other", Recipe(file=str(file)), paths)
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "Hi", "Yes.")
        await pilot.press("alt+m")
        await wait_until(lambda: is_open(pilot, ModelsScreen), "the models")
        await pilot.press(*"oth", "enter")
        await wait_until(lambda: "other" in status(pilot), "the other model")
        running = client(pilot).state.chat.active_model.model
        assert running is not None
        assert running.name == "other"
        (conversation,) = await client(pilot).state.chat.conversations.list_all()
        assert conversation.model == "other"
