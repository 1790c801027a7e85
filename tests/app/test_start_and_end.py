"""Starting, coming back, and quitting."""

from __future__ import annotations

from pathlib import Path

import pytest

from baize_tui.app.app import BaizeApp
from baize_tui.app.widgets.prompt import Prompt
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.chat.chat import Chat
from baize_tui.chat.store_thread import open_store
from baize_tui.paths import Paths
from baize_tui.settings import Settings
from baize_tui.store.conversations import Store
from baize_tui.store.errors import StoreFull
from tests.app.pilot import (
    RunApp,
    ScriptedPulls,
    ask,
    ask_and_pause,
    client,
    say,
    shown,
    status,
    texts,
    titles,
)
from tests.chat.scripted_engine import ScriptedCatalog, ScriptedEngine, model
from tests.conftest import wait_until


async def test_conversations_are_kept_over_a_restart(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
    async with run_app(ScriptedEngine("Two.")) as pilot:
        assert titles(pilot) == ["Hi"]
        assert texts(pilot) == []
        await pilot.press("ctrl+b", "down", "enter")
        await wait_until(lambda: texts(pilot) == ["Hi", "One."], "the conversation")
        await say(pilot, "And?")
        await wait_until(lambda: texts(pilot) == ["Hi", "One.", "And?", "Two."], "the answer")


async def test_a_given_conversation_is_opened(run_app: RunApp, paths: Paths) -> None:
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="", moderation=False, title="T")
    store.add_message(conversation.id, None, "user", "Earlier")
    store.close()
    async with run_app(ScriptedEngine(), open_session=conversation.id) as pilot:
        await wait_until(lambda: texts(pilot) == ["Earlier"], "the conversation")


async def test_without_a_model_the_next_step_is_shown(paths: Paths) -> None:
    def find_none(name: str | None) -> CatalogModel:
        raise CatalogError("no model is installed. Import one with …")

    store = open_store(paths.conversations_file)
    chat = Chat(store, ScriptedEngine(), Settings(), paths.cache, ScriptedCatalog(find_none))
    app = BaizeApp(chat, paths)
    async with app.run_test() as pilot:
        await wait_until(lambda: "Import one" in shown(pilot), "the next step")
        assert status(pilot) == "no model"
        await say(pilot, "Hi")
        await wait_until(lambda: "there is no model" in status(pilot), "the message")
        assert app.query_one(Prompt).text == "Hi"
        await app.action_quit()


async def test_a_question_asked_while_the_model_loads_is_saved_at_once(
    paths: Paths, tmp_path: Path
) -> None:
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")
    engine = ScriptedEngine("One.")
    engine.loaded_to = 0.5
    models = ScriptedCatalog(lambda name: model(str(file)))
    chat = Chat(open_store(paths.conversations_file), engine, Settings(), paths.cache, models)
    store = Store(paths.conversations_file)
    async with BaizeApp(chat, paths).run_test() as pilot:
        await engine.paused.wait()
        await say(pilot, "Hi")
        await wait_until(lambda: store.questions() == [("Hi",)], "the question")
        await wait_until(lambda: texts(pilot) == ["Hi"], "the question on the screen")
        engine.go_on.set()
        await wait_until(lambda: texts(pilot) == ["Hi", "One."], "the answer")
        await client(pilot).action_quit()
    store.close()


async def test_quitting_during_an_answer_reads_nothing_after_the_store_is_closed(
    run_app: RunApp,
) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "Count", "One ")
        await pilot.press(*"a draft", "ctrl+q")
        await wait_until(lambda: engine.closed, "the end")
        assert pilot.app.return_code == 0


async def test_quitting_ends_a_pull(run_app: RunApp, pulls: ScriptedPulls) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        client(pilot).state.pulls.start("tinyllama-1.1b")
        await wait_until(lambda: client(pilot).state.pulls.part("tinyllama-1.1b") == 0.25, "a part")
        await client(pilot).action_quit()
        assert pulls.ended


@pytest.mark.parametrize("key", ["alt+g", "alt+p", "alt+d", "ctrl+t"])
async def test_a_failed_write_is_reported_and_the_client_continues(
    key: str, run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreFull("no space left on the disk")

    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await wait_until(lambda: not client(pilot).state.chat.busy, "its end")
        for write in ("set_mark", "set_pinned", "delete_message", "set_options"):
            monkeypatch.setattr(Store, write, full)
        await pilot.press(key)
        await wait_until(lambda: "no space left" in status(pilot), "the reason")
        assert texts(pilot) == ["Hi", "One."]
