"""The settings, and the options of a conversation."""

from __future__ import annotations

import asyncio

from textual.widgets import Input, Select, Static, TextArea

from baize_tui.app.screens.settings import SettingsScreen
from baize_tui.catalog.adapters import find_adapter
from baize_tui.paths import Paths
from baize_tui.settings import load_settings
from tests.app.forms import (
    close,
    error_text,
    name_of,
    open_conversation_options,
    open_settings,
    row,
)
from tests.app.pilot import (
    RunApp,
    ask,
    catalog,
    client,
    say,
    shown,
    status,
    texts,
)
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def test_a_setting_is_saved_and_comments_in_the_file_stay(
    run_app: RunApp, paths: Paths
) -> None:
    paths.settings_file.parent.mkdir(parents=True)
    paths.settings_file.write_text("# mine\n[sampling]\ntemperature = 1.0  # warm\n")
    settings = load_settings(paths.settings_file)
    engine = ScriptedEngine("Yes.")
    async with run_app(engine, settings=settings) as pilot:
        await open_settings(pilot)
        assert name_of(pilot, "temperature") == "• temperature"
        field = row(pilot, "temperature").query_one(Input)
        assert field.value == "1.0"
        field.focus()
        field.value = "0.25"
        await pilot.press("enter")
        await wait_until(lambda: "0.25" in paths.settings_file.read_text(), "the file")
        assert paths.settings_file.read_text() == (
            "# mine\n[sampling]\ntemperature = 0.25  # warm\n"
        )
        await close(pilot)
        await ask(pilot, "Hi", "Yes.")
        assert engine.requests[-1].sampling.temperature == 0.25


async def test_an_emptied_setting_returns_to_its_default(run_app: RunApp, paths: Paths) -> None:
    paths.settings_file.parent.mkdir(parents=True)
    paths.settings_file.write_text("[chat]\nmax_tokens = 7\n")
    async with run_app(ScriptedEngine(), settings=load_settings(paths.settings_file)) as pilot:
        await open_settings(pilot)
        field = row(pilot, "max_tokens").query_one(Input)
        assert field.placeholder == "1024"
        field.value = ""
        await close(pilot)
        assert "max_tokens" not in paths.settings_file.read_text()
        assert client(pilot).state.chat.settings.chat.max_tokens == 1024


async def test_an_invalid_value_is_reported_and_keeps_the_screen_open(
    run_app: RunApp, paths: Paths
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await open_settings(pilot)
        field = row(pilot, "top_p").query_one(Input)
        field.value = "2"
        await pilot.press("escape")
        await wait_until(lambda: "top_p" in error_text(pilot, "top_p"), "the error")
        assert isinstance(pilot.app.screen, SettingsScreen)
        assert not paths.settings_file.exists()
        field.value = "0.5"
        await close(pilot)
        assert load_settings(paths.settings_file).sampling == {"top_p": 0.5}


async def test_two_rows_changed_at_once_are_both_saved(run_app: RunApp, paths: Paths) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await open_settings(pilot)
        await asyncio.gather(row(pilot, "top_k").change(7), row(pilot, "overflow").change("stop"))
        settings = load_settings(paths.settings_file)
        assert (settings.sampling, settings.chat.overflow) == ({"top_k": 7}, "stop")


async def test_a_value_written_by_hand_is_kept(run_app: RunApp, paths: Paths) -> None:
    paths.settings_file.parent.mkdir(parents=True)
    written = '[model]\ndefault = "/models/mine.gguf"\n'
    paths.settings_file.write_text(written)
    async with run_app(ScriptedEngine(), settings=load_settings(paths.settings_file)) as pilot:
        await open_settings(pilot)
        assert row(pilot, "default").query_one(Select).value == "/models/mine.gguf"
        await close(pilot)
    assert paths.settings_file.read_text() == written


async def test_every_row_says_what_it_is(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await open_settings(pilot)
        row(pilot, "min_p").query_one(Input).focus()
        about = pilot.app.screen.query_one("#description", Static)
        await wait_until(lambda: "relative to the most likely" in str(about.render()), "the words")


async def test_options_of_a_conversation_apply_only_there(run_app: RunApp) -> None:
    engine = ScriptedEngine("Yes.")
    async with run_app(engine) as pilot:
        await ask(pilot, "Hi", "Yes.")
        await open_conversation_options(pilot)
        assert name_of(pilot, "temperature") == "  temperature"
        row(pilot, "temperature").query_one(Input).value = "0.1"
        row(pilot, "system").query_one(TextArea).text = "You are a pirate."
        row(pilot, "moderation").query_one(Select).value = False
        await wait_until(lambda: name_of(pilot, "moderation") == "• moderation", "the mark")
        await close(pilot)
        await wait_until(lambda: "You are a pirate." in shown(pilot), "the head")
        assert "not moderated" in status(pilot)
        await say(pilot, "And?")
        await wait_until(lambda: len(texts(pilot)) == 4, "the answer")
        asked = engine.requests[-1]
        assert asked.sampling.temperature == 0.1
        assert asked.prompt.messages[0].content == "You are a pirate."
        await open_conversation_options(pilot)
        assert name_of(pilot, "temperature") == "• temperature"
        await close(pilot)
        await pilot.press("ctrl+n")
        await ask(pilot, "Elsewhere", "Yes.")
        assert engine.requests[-1].sampling.temperature == 0.7


async def test_an_adapter_is_applied_to_one_conversation_with_its_scale(
    run_app: RunApp, paths: Paths, plum: str
) -> None:
    engine = ScriptedEngine("Yes.")
    async with run_app(engine) as pilot:
        catalog(pilot).find_adapter = lambda name: find_adapter(name, paths)
        await ask(pilot, "Hi", "Yes.")
        assert engine.requests[-1].adapters == []
        await open_conversation_options(pilot)
        row(pilot, plum).query_one(Input).value = "0.5"
        await close(pilot)
        await wait_until(lambda: "scripted + plum" in status(pilot), "the adapter")
        await ask(pilot, "Again", "Yes.")
        (use,) = engine.requests[-1].adapters
        assert use.scale == 0.5
        await pilot.press("ctrl+n")
        await ask(pilot, "Hi", "Yes.")
        assert engine.requests[-1].adapters == []
