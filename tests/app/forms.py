"""What a person sees and does in a form of options."""

from __future__ import annotations

from textual.pilot import Pilot
from textual.widgets import Static

from baize_tui.app.screens.conversation_options import ConversationOptions
from baize_tui.app.screens.option_form import OptionRow
from baize_tui.app.screens.settings import SettingsScreen
from tests.app.pilot import is_open, screen
from tests.conftest import wait_until


def row(pilot: Pilot[int], key: str) -> OptionRow:
    return next(row for row in pilot.app.screen.query(OptionRow) if row.option.field.key == key)


def name_of(pilot: Pilot[int], key: str) -> str:
    return str(row(pilot, key).query_one(".name", Static).render())


def error_text(pilot: Pilot[int], key: str) -> str:
    return str(row(pilot, key).query_one(".error", Static).render())


async def open_settings(pilot: Pilot[int]) -> None:
    await pilot.press("f4")
    await wait_until(lambda: is_open(pilot, SettingsScreen), "the settings")
    await wait_until(lambda: pilot.app.focused is not None, "the focus")


async def open_conversation_options(pilot: Pilot[int]) -> None:
    await pilot.press("f3")
    await wait_until(lambda: is_open(pilot, ConversationOptions), "the options")
    await wait_until(lambda: pilot.app.focused is not None, "the focus")


async def close(pilot: Pilot[int]) -> None:
    await pilot.press("escape")
    await wait_until(lambda: pilot.app.screen is screen(pilot), "the closed screen")
