"""Titles, deletions and moderation of conversations, and opening long ones."""

from __future__ import annotations

import pytest
from textual.widgets import Input, Static

from baize_tui.app.screens.conversation_options import ConversationOptions
from baize_tui.app.screens.dialogs import LineDialog
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.formats import MODERATION
from baize_tui.paths import Paths
from baize_tui.store.conversations import NEW_TITLE, Store
from baize_tui.store.errors import StoreError
from tests.app.forms import close, open_conversation_options, row
from tests.app.pilot import (
    RunApp,
    ask,
    is_open,
    say,
    screen,
    shown,
    status,
    texts,
    titles,
    transcript,
)
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def test_deleting_a_conversation_takes_two_key_presses_and_can_be_undone(
    run_app: RunApp,
) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("ctrl+b", "delete")
        assert titles(pilot) == ["Hi"]
        assert "press delete again" in status(pilot)
        await pilot.press("delete")
        await wait_until(lambda: titles(pilot) == [], "the deletion")
        await pilot.press("alt+z")
        await wait_until(lambda: titles(pilot) == ["Hi"], "the undo")
        assert texts(pilot) == ["Hi", "One."]


async def test_another_key_between_two_deletes_keeps_the_conversation(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("ctrl+b", "delete", "down", "delete")
        await pilot.pause()
        assert titles(pilot) == ["Hi"]


async def test_renaming(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("f2")
        await wait_until(lambda: is_open(pilot, LineDialog), "the dialog")
        await pilot.press(*"!", "enter")
        await wait_until(lambda: titles(pilot) == ["Hi!"], "the new title")


async def test_the_model_suggests_a_title_and_it_can_be_undone(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    async with run_app(engine) as pilot:
        await ask(pilot, "hi there you", "One.")
        await wait_until(lambda: engine.saved, "the end of idle work")
        engine.title = "A Greeting\n"
        await pilot.press("alt+t")
        await wait_until(lambda: titles(pilot) == ["A Greeting"], "the title")
        await pilot.press("alt+z")
        await wait_until(lambda: titles(pilot) == ["hi there you"], "the old title")
        assert texts(pilot) == ["hi there you", "One."]


async def test_without_a_suggested_title_the_old_one_stays(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    async with run_app(engine) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press("alt+t")
        await wait_until(lambda: "found no title" in status(pilot), "the reason")
        assert titles(pilot) == ["Hi"]


async def test_the_model_titles_a_conversation_while_nobody_waits(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    engine.title = "A Greeting"
    async with run_app(engine) as pilot:
        await ask(pilot, "hi there you", "One.")
        await wait_until(lambda: titles(pilot) == ["A Greeting"], "the title")
        await pilot.press("f3")
        await wait_until(lambda: is_open(pilot, ConversationOptions), "the options")
        title = pilot.app.screen.query_one(".title", Static)
        assert str(title.render()) == "A Greeting"
        await close(pilot)
        await ask(pilot, "And you?", "One.")
        await wait_until(lambda: engine.saved > 1, "the end of idle work")
        assert len(engine.title_requests) == 1


async def test_a_new_title_does_not_move_the_list_or_the_focus(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    engine.title = "A Greeting"
    engine.title_may_end.clear()
    async with run_app(engine) as pilot:
        for question in ("First", "Second"):
            await pilot.press("ctrl+n")
            await ask(pilot, question, "One.")
        await wait_until(lambda: titles(pilot) == ["Second", "First"], "both")
        await wait_until(lambda: engine.title_requests, "the writing")
        await pilot.press("ctrl+b", "down")
        listed = screen(pilot).conversation_list
        highlighted = listed.highlighted_id
        engine.title_may_end.set()
        await wait_until(lambda: titles(pilot) == ["A Greeting", "First"], "the title")
        assert listed.has_focus
        assert listed.highlighted_id == highlighted


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "key",
    ["f3", "f2", "f4", "alt+t", "alt+v", "alt+m", "ctrl+n", "ctrl+r", "alt+e", "ctrl+g"],
)
async def test_a_conversation_without_a_word_is_not_stored(
    key: str, run_app: RunApp, paths: Paths
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press(key)
        await pilot.pause()
        await pilot.press("down", "tab", "escape")
        await pilot.pause()
    store = Store(paths.conversations_file)
    assert store.conversations() == []
    store.close()


async def test_a_changed_option_begins_a_conversation_that_has_it(
    run_app: RunApp, paths: Paths
) -> None:
    engine = ScriptedEngine("One.")
    async with run_app(engine) as pilot:
        await open_conversation_options(pilot)
        for key, value in (("temperature", "0.25"), ("top_p", "0.5")):
            field = row(pilot, key).query_one(Input)
            field.focus()
            field.value = value
            await pilot.press("enter")
        await wait_until(lambda: titles(pilot) == [NEW_TITLE], "the conversation")
        await close(pilot)
        await ask(pilot, "Hi", "One.")
        assert titles(pilot) == ["Hi"]
        sampling = engine.requests[-1].sampling
        assert (sampling.temperature, sampling.top_p) == (0.25, 0.5)


async def test_moderation_of_a_new_conversation_is_switched(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await pilot.press("ctrl+t")
        await wait_until(lambda: "not moderated" in status(pilot), "the switch")
        await ask(pilot, "Hi", "One.")
        assert titles(pilot) == ["Hi"]
        assert MODERATION not in transcript(pilot).notes[0]


async def test_moderation_is_shown_and_switched(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await say(pilot, "Hi")
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        assert MODERATION in transcript(pilot).notes[0]
        await pilot.press("ctrl+t")
        await wait_until(lambda: "not moderated" in status(pilot), "the switch")
        assert MODERATION not in transcript(pilot).notes[0]


async def test_changes_by_another_client_are_shown(run_app: RunApp, paths: Paths) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        other = Store(paths.conversations_file)
        other.new_conversation(system="", moderation=True, title="From elsewhere")
        other.close()
        await wait_until(
            lambda: titles(pilot) == ["From elsewhere"], "the conversation of the other client"
        )


async def test_a_store_that_cannot_be_read_for_a_moment_does_not_end_the_client(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def version(_: Conversations) -> int:
        nonlocal looks
        looks += 1
        raise StoreError("database is locked")

    monkeypatch.setattr("baize_tui.app.conversation.list_updates.WATCH_EVERY_S", 0.01)
    monkeypatch.setattr(Conversations, "version", version)
    async with run_app(ScriptedEngine()) as pilot:
        await wait_until(lambda: looks > 2, "the third look")
        assert pilot.app.is_running


async def test_a_long_conversation_is_read_from_end_to_start(run_app: RunApp, paths: Paths) -> None:
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="", moderation=False, title="T")
    parent: int | None = None
    for number in range(700):
        parent = store.add_message(conversation.id, parent, "user", f"m{number}.").id
    store.close()
    async with run_app(ScriptedEngine(), open_session=conversation.id) as pilot:
        assert "m699." in shown(pilot)
        await wait_until(lambda: len(texts(pilot)) == 700, "the rest")
        assert "m699." in shown(pilot)
        seen: list[str] = []
        while "m0." not in shown(pilot):
            seen.append(shown(pilot))
            await pilot.press("pageup")
            await pilot.pause()
            assert shown(pilot) != seen[-1]
        assert all(any(f"m{n}." in page for page in seen) for n in range(20, 700))
        await pilot.press("alt+end")
        assert "m699." in shown(pilot)
