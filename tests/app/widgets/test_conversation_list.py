"""The list of conversations."""

from __future__ import annotations

from baize_tui.app.widgets.conversation_list import ConversationList
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from tests.app.pilot import (
    RunApp,
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
