"""The settings, and the options of a conversation."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from textual.widgets import Input, Select, Static, TextArea

from baize_tui.app.screens.option_form import OptionRow
from baize_tui.app.screens.settings import SettingsScreen
from baize_tui.catalog.adapters import find_adapter
from baize_tui.catalog.finding import find_model
from baize_tui.catalog.recipes import CatalogModel, Recipe, write_recipe
from baize_tui.paths import Paths
from baize_tui.settings import load_settings
from baize_tui.store.conversations import Store
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
    screen,
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
        assert name_of(pilot, "temperature") == "• Temperature"
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


@pytest.mark.sampled(2)
@pytest.mark.parametrize("columns", [31, 60, 69, 80, 200])
async def test_every_value_is_in_sight(columns: int, run_app: RunApp) -> None:
    async with run_app(ScriptedEngine(), size=(columns, 24)) as pilot:
        await open_settings(pilot)
        for control in pilot.app.screen.query("OptionRow Input, OptionRow Select"):
            assert control.size.width >= 20
            assert control.region.right <= columns


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


async def test_esc_again_discards_an_invalid_value(run_app: RunApp, paths: Paths) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await open_settings(pilot)
        field = row(pilot, "top_p").query_one(Input)
        field.value = "2"
        await pilot.press("escape")
        await wait_until(lambda: "esc again discards" in error_text(pilot, "top_p"), "the offer")
        field.value = "3"  # another value is not discarded unasked
        await pilot.press("escape")
        await wait_until(lambda: "esc again discards" in error_text(pilot, "top_p"), "the offer")
        assert isinstance(pilot.app.screen, SettingsScreen)
        await close(pilot)
        assert not paths.settings_file.exists()


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
        assert name_of(pilot, "temperature") == "  Temperature"
        row(pilot, "temperature").query_one(Input).value = "0.1"
        row(pilot, "system").query_one(TextArea).text = "You are a pirate."
        row(pilot, "moderation").query_one(Select).value = False
        await wait_until(lambda: name_of(pilot, "moderation") == "• Moderation", "the mark")
        await close(pilot)
        await wait_until(lambda: "You are a pirate." in shown(pilot), "the head")
        assert "not moderated" in status(pilot)
        await say(pilot, "And?")
        await wait_until(lambda: len(texts(pilot)) == 4, "the answer")
        asked = engine.requests[-1]
        assert asked.sampling.temperature == 0.1
        assert asked.prompt.messages[0].content == "You are a pirate."
        await open_conversation_options(pilot)
        assert name_of(pilot, "temperature") == "• Temperature"
        await close(pilot)
        await pilot.press("ctrl+n")
        await ask(pilot, "Elsewhere", "Yes.")
        assert engine.requests[-1].sampling.temperature == 0.7


async def test_the_options_describe_the_model_that_answers(
    run_app: RunApp, paths: Paths, tmp_path: Path
) -> None:
    for name, temperature in (("cool", 0.1), ("hot", 1.5)):
        file = tmp_path / f"{name}.gguf"
        file.write_text(name)
        recipe = Recipe(file=str(file), sampling={"temperature": temperature})
        write_recipe(name, recipe, paths)
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="", moderation=False, model="cool", title="T")
    store.close()

    def find(name: str | None) -> CatalogModel:
        return find_model(name or "hot", paths)

    engine = ScriptedEngine("Yes.")
    async with run_app(engine, find_model=find) as pilot:
        await screen(pilot).conversation_view.open(conversation)
        await wait_until(lambda: "cool (loads with the next question)" in status(pilot), "rest")
        assert "context" not in status(pilot)
        await open_conversation_options(pilot)
        assert row(pilot, "model").option.effective == "cool"
        assert row(pilot, "model").option.default == "hot"
        assert row(pilot, "temperature").option.default == 0.1
        await close(pilot)


async def test_a_switch_for_thinking_is_offered_only_where_the_template_has_one(
    run_app: RunApp,
) -> None:
    engine = ScriptedEngine("Yes.")
    engine.can_switch_thinking = False
    async with run_app(engine) as pilot:
        await ask(pilot, "Hi", "Yes.")
        await open_conversation_options(pilot)
        assert "think" not in [row.option.field.key for row in pilot.app.screen.query(OptionRow)]
        await close(pilot)
        conversation = screen(pilot).view.conversation
        assert conversation is not None
        on = msgspec.structs.replace(conversation, think=True)
        await screen(pilot).conversation_view.change_options(on)
        await open_conversation_options(pilot)
        assert row(pilot, "think").option.value is True
        await close(pilot)


async def test_a_model_chosen_for_a_conversation_answers_in_spite_of_the_option_at_the_start(
    run_app: RunApp, paths: Paths, tmp_path: Path
) -> None:
    file = tmp_path / "other.gguf"
    file.write_bytes(b"other")
    write_recipe("other", Recipe(file=str(file)), paths)
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        active = client(pilot).state.chat.active_model
        active.one_model = True
        await open_conversation_options(pilot)
        row(pilot, "model").query_one(Select).value = "other"
        await wait_until(lambda: row(pilot, "model").option.value == "other", "the choice")
        await close(pilot)
        await ask(pilot, "Hi", "Yes.")
        assert active.model is not None
        assert active.model.name == "other"


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
