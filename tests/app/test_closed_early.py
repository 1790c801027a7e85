"""A screen may be closed, or the client quit, while the screen is still being put together."""

from __future__ import annotations

import asyncio

import pytest
from textual.screen import ModalScreen

from baize_tui.app.actions import ACTIONS
from baize_tui.chat.search import Search
from tests.app.pilot import RunApp, ask, client, screen
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until

ACTIONS_THAT_LEAVE = ("quit", "suspend", "editor", "view", "stop")
STEPS = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89)
"""Of the event loop, from opening to closing."""


@pytest.mark.sampled(4)
@pytest.mark.parametrize("action", [a.id for a in ACTIONS if a.id not in ACTIONS_THAT_LEAVE])
async def test_a_screen_that_is_closed_while_it_opens(action: str, run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Count", "One.")
        app = pilot.app
        for steps in STEPS:
            opening = asyncio.ensure_future(screen(pilot).run_command(action))
            for _ in range(steps):
                await asyncio.sleep(0)
            while isinstance(app.screen, ModalScreen):
                app.pop_screen()
                await asyncio.sleep(0)
            await pilot.pause()
            await opening
            while len(app.screen_stack) > 1:
                app.pop_screen()
            await pilot.pause()
            assert app._exception is None
            assert not app._exit


@pytest.mark.sampled(4)
@pytest.mark.parametrize("steps", [1, 3, 8, 21])
@pytest.mark.parametrize("action", ["settings", "conversation", "model", "palette"])
async def test_the_client_that_is_quit_while_a_screen_opens(
    action: str, steps: int, run_app: RunApp
) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        opening = asyncio.ensure_future(screen(pilot).run_command(action))
        for _ in range(steps):
            await asyncio.sleep(0)
        await client(pilot).action_quit()
        await opening
    assert client(pilot).crash is None


async def test_a_search_that_ends_while_its_screen_is_removed(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Textual removes the widgets of a screen before its workers."""
    asked, found, find = asyncio.Event(), asyncio.Event(), Search.find

    async def find_when_told(search: Search, text: str, limit: int) -> object:
        asked.set()
        await found.wait()
        return await find(search, text, limit)

    monkeypatch.setattr(Search, "find", find_when_told)
    async with run_app(ScriptedEngine("One.")) as pilot:
        app = pilot.app
        for steps in range(40):
            asked.clear()
            found.clear()
            opening = asyncio.ensure_future(screen(pilot).run_command("search"))
            await wait_until(asked.is_set, "the search")
            app.screen.dismiss()
            for _ in range(steps):
                await asyncio.sleep(0)
            found.set()
            await opening
            await pilot.pause()
            assert client(pilot).crash is None
