"""The list of conversations."""

from __future__ import annotations

from baize_tui.app.widgets.conversation_list import ConversationList
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from baize_tui.store.records import Unsent
from tests.app.pilot import (
    RunApp,
    ask,
    ask_and_pause,
    client,
    screen,
    texts,
    titles,
)
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def test_conversations_are_found_by_typing(run_app: RunApp, paths: Paths) -> None:
    store = Store(paths.conversations_file)
    for title in ("Baking bread", "Perl regexes", "Bread and butter"):
        store.new_conversation(system="", moderation=True, title=title)
    store.close()
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("ctrl+b", *"bread")
        await wait_until(lambda: len(titles(pilot)) == 2, "the search")
        assert set(titles(pilot)) == {"Baking bread", "Bread and butter"}
        await pilot.press("enter")
        await wait_until(lambda: len(titles(pilot)) == 3, "the whole list")


async def test_a_narrow_terminal_hides_the_list(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine(), size=(50, 20)) as pilot:
        listed = pilot.app.query_one(ConversationList)
        assert not listed.display
        await pilot.press("ctrl+b")
        await wait_until(lambda: listed.display, "the list")
        await pilot.press("escape")
        await wait_until(lambda: not listed.display, "the list to go")


async def test_a_conversation_with_a_draft_is_marked(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press(*"draft", "ctrl+n")
        await wait_until(lambda: titles(pilot) == ["✎ Hi"], "the mark")
    async with run_app(ScriptedEngine("One.")) as pilot:
        assert titles(pilot) == ["✎ Hi"]
        await pilot.press("ctrl+b", "enter")
        await wait_until(lambda: screen(pilot).prompt.text == "draft", "the draft")
        await wait_until(lambda: titles(pilot) == ["Hi"], "no mark: the draft is in sight")
        await pilot.press(*["backspace"] * 5, "ctrl+n")
        await wait_until(lambda: texts(pilot) == [], "a new conversation")
        await pilot.pause()
        assert titles(pilot) == ["Hi"]


async def test_a_conversation_with_queued_messages_is_marked(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "Hi", "One ")
        await pilot.press(*"next", "enter")
        await pilot.press("ctrl+n")
        await wait_until(lambda: titles(pilot) == ["●✎ Hi"], "both marks")
        await pilot.press("ctrl+b", "down", "enter")
        await wait_until(lambda: texts(pilot) == ["Hi", "One "], "the conversation")
        await pilot.press("alt+x")
        await pilot.press("ctrl+n")
        await wait_until(lambda: titles(pilot) == ["● Hi"], "no mark")
        engine.go_on.set()
        await wait_until(lambda: not client(pilot).state.chat.busy, "the answer")


async def test_words_of_another_client_are_its_own(run_app: RunApp, paths: Paths) -> None:
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="", moderation=True, title="Shared")
    store.unsent.save(Unsent("u", "draft", conversation.id, ("theirs",)))
    async with run_app(ScriptedEngine()) as pilot:
        assert titles(pilot) == ["Shared"]
    store.close()
    async with run_app(ScriptedEngine()) as pilot:
        assert titles(pilot) == ["✎ Shared"]
