"""The palette: which commands it has, and how they are found."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from baize_tui.app.screens.dialogs import HelpScreen
from baize_tui.app.screens.palette import Palette
from baize_tui.app.screens.picker import Picker
from baize_tui.settings import Settings
from tests.app.key_fuzzer import send
from tests.app.pilot import RunApp, ask, client, is_open, screen, texts
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def open_palette(pilot: Pilot[int]) -> None:
    await pilot.press("ctrl+p")
    await wait_until(lambda: is_open(pilot, Palette), "the palette")


def rows(pilot: Pilot[int]) -> list[str]:
    options = pilot.app.screen.query_one(OptionList)
    return [str(options.get_option_at_index(i).prompt) for i in range(options.option_count)]


def found(pilot: Pilot[int]) -> list[str]:
    """The titles of the rows."""
    return [row.split("  ")[0] for row in rows(pilot)]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("regenerate", "Regenerate"),  # a title
        ("system", "This conversation"),  # these are in the help texts
        ("export", "Export"),
        ("unmark", "Good answer"),
        ("colours", "Theme"),
        ("pull import", "Models"),
    ],
)
async def test_titles_and_help_texts_are_searched(typed: str, first: str, run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "Hi", "Yes.")
        await wait_until(lambda: not client(pilot).state.chat.busy, "its end")
        await open_palette(pilot)
        await pilot.press(*typed)
        await wait_until(lambda: found(pilot)[:1] == [first], "the command")


async def test_titles_come_before_help_texts(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "Hi", "Yes.")
        await wait_until(lambda: not client(pilot).state.chat.busy, "its end")
        await open_palette(pilot)
        await pilot.press(*"copy")
        await wait_until(
            lambda: found(pilot)[:2] == ["Copy", "Copy code"][: len(found(pilot))], "it"
        )
        await pilot.press(*["backspace"] * 4, *"message")
        await wait_until(lambda: "Rename" not in found(pilot), "the matches")
        titles = [title for title in found(pilot) if "message" in title.lower()]
        assert found(pilot)[: len(titles)] == titles
        assert "Copy" in found(pilot)[len(titles) :]


async def test_only_commands_that_work_now_are_listed(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await open_palette(pilot)
        first = set(found(pilot))
        assert first >= {"New conversation", "Settings", "Models", "Theme", "Help", "Quit"}
        assert first.isdisjoint({"Regenerate", "Copy", "Undo", "Stop", "Edit queued", "Suspend"})
        assert first.isdisjoint({"Keys", "Maximize", "Screenshot"})  # Textual's own
        await pilot.press("escape")
        await ask(pilot, "Hi", "Yes.")
        await wait_until(lambda: not client(pilot).state.chat.busy, "its end")
        await open_palette(pilot)
        assert set(found(pilot)) >= {"Regenerate", "Continue", "Copy", "Edit", "Pin", "Good answer"}
        assert set(found(pilot)).isdisjoint({"Copy code", "Previous branch", "Stop"})


@pytest.mark.sweep
async def test_every_entry_runs_and_none_fails(run_app: RunApp) -> None:
    engine = ScriptedEngine("Yes.")
    async with run_app(engine) as pilot:
        await ask(pilot, "Hi", "Yes.")
        await wait_until(lambda: not client(pilot).state.chat.busy, "its end")
        await open_palette(pilot)
        titles = [title for title in found(pilot) if title != "Quit"]
        await pilot.press("escape")
        for title in titles:
            await wait_until(lambda: not client(pilot).state.chat.busy, "rest")
            await open_palette(pilot)
            if title in found(pilot):
                pilot.app.screen.query_one(OptionList).highlighted = found(pilot).index(title)
                await pilot.press("enter")
                await pilot.pause()
            while pilot.app.screen is not screen(pilot):
                await pilot.press("escape")
                await pilot.pause()


async def test_rows_show_the_key_that_works(run_app: RunApp) -> None:
    settings = Settings(keys={"settings": "f12"})
    async with run_app(ScriptedEngine(), settings=settings, taken_keys={"f1"}) as pilot:
        await open_palette(pilot)
        keys = {row.split("  ")[0]: row for row in rows(pilot)}
        assert "f12" in keys["Settings"]
        assert "alt+h" in keys["Help"]


async def test_keys_pressed_at_once_reach_the_palette(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await send(pilot, ["ctrl+p", *"help", "enter"])
        await wait_until(lambda: is_open(pilot, HelpScreen), "the help")


async def test_a_theme_is_chosen_and_kept(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("alt+y")
        await wait_until(lambda: is_open(pilot, Picker), "the themes")
        await pilot.press(*"baize-light", "enter")
        await wait_until(lambda: pilot.app.theme == "baize-light", "the theme")
        await wait_until(lambda: client(pilot).state.settings.look.theme == "baize-light", "it")
        assert texts(pilot) == []


async def test_keys_are_not_cut_off_in_a_narrow_terminal(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes."), size=(31, 24)) as pilot:
        await ask(pilot, "Hi", "Yes.")
        await wait_until(lambda: not client(pilot).state.chat.busy, "its end")
        await open_palette(pilot)
        room = pilot.app.screen.query_one(OptionList).scrollable_content_region.width
        assert "New conversation ^n" in rows(pilot)
        assert max(map(len, rows(pilot))) <= room
