"""The table of actions, the keys page, and the person's own keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from textual.widgets import Static

from baize_tui.app.actions import ACTIONS, check_keys, keys_table
from baize_tui.app.conversation.screen import ConversationScreen
from baize_tui.app.screens.dialogs import HelpScreen
from baize_tui.app.widgets.prompt import Prompt
from baize_tui.paths import Paths
from baize_tui.settings import Settings, SettingsError
from tests.app.pilot import (
    RunApp,
    ask,
    say,
    screen,
    status,
    texts,
)
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def test_every_action_has_a_method_and_its_own_key() -> None:
    assert all(callable(getattr(ConversationScreen, f"action_{a.id}")) for a in ACTIONS)
    keys = [action.key for action in ACTIONS]
    assert len(set(keys)) == len(keys)


def test_the_keys_page_is_the_table() -> None:
    """Made by: python -m baize_tui.app.actions > docs/keys.md"""
    page = Path(__file__).parents[2] / "docs" / "keys.md"
    assert page.read_text(encoding="utf-8") == keys_table()


async def test_commands_mirror_the_actions(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await say(pilot, "/help")
        await wait_until(lambda: isinstance(pilot.app.screen, HelpScreen), "the help")
        await pilot.press("escape")
        await wait_until(lambda: not isinstance(pilot.app.screen, HelpScreen), "its end")
        await say(pilot, "/nonsense")
        await wait_until(lambda: "no command /nonsense" in status(pilot), "the message")
        assert pilot.app.query_one(Prompt).text == "/nonsense"


async def test_a_custom_key_works_and_is_shown_everywhere(run_app: RunApp) -> None:
    settings = Settings(keys={"new": "ctrl+e", "help": "f9"})
    async with run_app(ScriptedEngine("Yes."), size=(120, 30), settings=settings) as pilot:
        assert "^e new" in screen(pilot).status.hints
        await ask(pilot, "Hi", "Yes.")
        await pilot.press("ctrl+e")
        await wait_until(lambda: texts(pilot) == [], "a new conversation")
        await pilot.press("f9")
        await wait_until(lambda: pilot.app.screen is not screen(pilot), "the help")
        rows = " ".join(str(part.render()) for part in pilot.app.screen.query(Static))
        assert re.search(r"ctrl\+e +/new", rows)


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ({"nonsense": "f5"}, "keys.nonsense: unknown action"),
        ({"copy": "Hyper X"}, "keys.copy: 'Hyper X' is not a key"),
        ({"copy": "c"}, "keys.copy: c is needed for typing"),
        ({"copy": "enter"}, "keys.copy: enter is needed"),
        ({"copy": "ctrl+n"}, "ctrl\\+n is already the key of new"),
    ],
)
def test_an_invalid_key_is_reported(keys: dict[str, str], wrong: str, paths: Paths) -> None:
    with pytest.raises(SettingsError, match=wrong):
        check_keys(keys, paths.settings_file)


def test_two_actions_can_swap_keys(paths: Paths) -> None:
    check_keys({"new": "ctrl+b", "list": "ctrl+n"}, paths.settings_file)
