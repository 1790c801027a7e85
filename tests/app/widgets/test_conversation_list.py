"""The list of conversations."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize(("columns", "width"), [(80, 26), (120, 30), (200, 40)])
async def test_the_list_is_as_wide_as_the_screen_has_room(
    run_app: RunApp, columns: int, width: int
) -> None:
    async with run_app(ScriptedEngine(), size=(columns, 24)) as pilot:
        assert screen(pilot).conversation_list.outer_size.width == width


async def test_a_key_hides_the_list(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine(), size=(80, 24)) as pilot:
        listed = screen(pilot).conversation_list
        await pilot.press("ctrl+b", "ctrl+b")
        await wait_until(lambda: not listed.display, "the list to go")
        assert screen(pilot).prompt.has_focus
        await pilot.press("ctrl+b")
        await wait_until(lambda: listed.display and listed.has_focus, "the list again")
        await pilot.press("escape")
        assert listed.display


async def test_ages_are_at_the_right(run_app: RunApp, paths: Paths) -> None:
    store = Store(paths.conversations_file)
    ages = {"New": 0, "A title that is longer than the list is wide": 3 * 3600, "Old": 800 * 86_400}
    for title, age in ages.items():
        id = store.new_conversation(system="", moderation=True, title=title).id
        with store.database.transaction() as connection:
            connection.execute(
                "UPDATE conversation SET updated_at = updated_at - ? WHERE id = ?", (age, id)
            )
    store.close()
    async with run_app(ScriptedEngine(), size=(80, 24)) as pilot:
        listed = screen(pilot).conversation_list
        lines = [listed.render_line(y).text.rstrip() for y in range(listed.size.height)]
        ends = [line.split()[-1] for line in lines if line.strip()]
        assert {"now", "3h", "2y"} <= {*ends}
        (long,) = [line for line in lines if "A title" in line]
        assert "… 3h" in long
        assert len({len(line) for line in lines if line.endswith(("now", "3h", "2y"))}) == 1


async def test_ten_thousand_conversations_are_reached_with_keys(
    run_app: RunApp, paths: Paths
) -> None:
    """Only some rows are made at first: more when the cursor comes near the last one."""
    store = Store(paths.conversations_file)
    with store.database.transaction() as connection:
        connection.executemany(
            "INSERT INTO conversation (id, title, created_at, updated_at, system, moderation) "
            "VALUES (?, ?, 1, ?, '', 1)",
            [(f"{n:012x}", f"Talk {n}", 1e9 - 60 * n) for n in range(10_000)],
        )
    store.close()
    async with run_app(ScriptedEngine(), size=(80, 24)) as pilot:
        listed = screen(pilot).conversation_list
        assert len(titles(pilot)) < 300
        await pilot.press("ctrl+b")
        for more in (300, 500, 700):
            await pilot.press("end")
            await wait_until(lambda more=more: len(titles(pilot)) > more, "more rows")
        highlighted = listed.highlighted_option
        assert highlighted is not None
        assert len(titles(pilot)) < 2000
        await pilot.press(*"talk 9876")
        await wait_until(lambda: titles(pilot)[:1] == ["Talk 9876"], "one of the last")
        await pilot.press("enter")
        await wait_until(lambda: screen(pilot).view.open_id == f"{9876:012x}", "it is open")


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
        await wait_until(lambda: titles(pilot) == ["Hi"], "no mark: there is no draft")
    async with run_app(ScriptedEngine("One.")) as pilot:
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
