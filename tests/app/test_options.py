"""Settings, options of one conversation, keys and themes of one's own."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Select, Static, TextArea

from baize_tui.app.actions import check_keys
from baize_tui.app.screens.conversation_options import ConversationOptions
from baize_tui.app.screens.models import ModelsScreen
from baize_tui.app.screens.option_form import OptionRow
from baize_tui.app.screens.settings import SettingsScreen
from baize_tui.app.themes import InvalidTheme, read_themes
from baize_tui.app.widgets.prompt import Prompt
from baize_tui.catalog.recipes import Recipe, write_recipe
from baize_tui.paths import Paths
from baize_tui.settings import LookSettings, Settings, SettingsError, load_settings
from tests.app.looking import RunApp, ask, client, notices, say, screen, shown, status, texts
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


def row(pilot: Pilot[int], key: str) -> OptionRow:
    return next(row for row in pilot.app.screen.query(OptionRow) if row.option.field.key == key)


def name_of(pilot: Pilot[int], key: str) -> str:
    return str(row(pilot, key).query_one(".name", Static).render())


def complaint(pilot: Pilot[int], key: str) -> str:
    return str(row(pilot, key).query_one(".error", Static).render())


async def open_settings(pilot: Pilot[int]) -> None:
    await pilot.press("f4")
    await wait_until(lambda: isinstance(pilot.app.screen, SettingsScreen), "the settings")
    await wait_until(lambda: pilot.app.focused is not None, "the focus")


async def open_conversation_options(pilot: Pilot[int]) -> None:
    await pilot.press("f3")
    await wait_until(lambda: isinstance(pilot.app.screen, ConversationOptions), "the options")
    await wait_until(lambda: pilot.app.focused is not None, "the focus")


async def close(pilot: Pilot[int]) -> None:
    await pilot.press("escape")
    await wait_until(lambda: pilot.app.screen is screen(pilot), "the end of it")


async def test_a_setting_is_kept_in_the_file_with_its_comments(
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


async def test_an_emptied_setting_goes_back_to_its_default(run_app: RunApp, paths: Paths) -> None:
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


async def test_a_wrong_value_is_named_and_keeps_the_screen_open(
    run_app: RunApp, paths: Paths
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await open_settings(pilot)
        field = row(pilot, "top_p").query_one(Input)
        field.value = "2"
        await pilot.press("escape")
        await wait_until(lambda: "top_p" in complaint(pilot, "top_p"), "the complaint")
        assert isinstance(pilot.app.screen, SettingsScreen)
        assert not paths.settings_file.exists()
        field.value = "0.5"
        await close(pilot)
        assert load_settings(paths.settings_file).sampling == {"top_p": 0.5}


async def test_two_rows_changed_at_once_are_both_kept(run_app: RunApp, paths: Paths) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await open_settings(pilot)
        await asyncio.gather(row(pilot, "top_k").change(7), row(pilot, "overflow").change("stop"))
        settings = load_settings(paths.settings_file)
        assert (settings.sampling, settings.chat.overflow) == ({"top_k": 7}, "stop")


async def test_a_value_written_by_hand_stays(run_app: RunApp, paths: Paths) -> None:
    paths.settings_file.parent.mkdir(parents=True)
    written = '[model]\ndefault = "/models/mine.gguf"\n'
    paths.settings_file.write_text(written)
    async with run_app(ScriptedEngine(), settings=load_settings(paths.settings_file)) as pilot:
        await open_settings(pilot)
        assert row(pilot, "default").query_one(Select).value == "/models/mine.gguf"
        await close(pilot)
    assert paths.settings_file.read_text() == written


async def test_another_theme_is_seen_at_once_and_at_the_next_start(
    run_app: RunApp, paths: Paths
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await open_settings(pilot)
        row(pilot, "theme").query_one(Select).value = "baize-light"
        await wait_until(lambda: pilot.app.theme == "baize-light", "the theme")
        await wait_until(paths.settings_file.exists, "the file")
        await close(pilot)
    assert load_settings(paths.settings_file).look.theme == "baize-light"


async def test_a_theme_chosen_in_the_palette_is_kept(run_app: RunApp, paths: Paths) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        pilot.app.theme = "nord"
        await wait_until(paths.settings_file.exists, "the file")
        assert load_settings(paths.settings_file).look.theme == "nord"


async def test_every_row_says_what_it_is(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await open_settings(pilot)
        row(pilot, "min_p").query_one(Input).focus()
        about = pilot.app.screen.query_one("#description", Static)
        await wait_until(lambda: "relative to the most likely" in str(about.render()), "the words")


async def test_options_of_one_conversation_count_there_alone(run_app: RunApp) -> None:
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


async def test_the_model_of_a_conversation_is_picked_and_loaded(
    run_app: RunApp, paths: Paths, tmp_path: Path
) -> None:
    file = tmp_path / "other.gguf"
    file.write_bytes(b"weights")
    write_recipe("other", Recipe(file=str(file)), paths)
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "Hi", "Yes.")
        await pilot.press("alt+m")
        await wait_until(lambda: isinstance(pilot.app.screen, ModelsScreen), "the models")
        await pilot.press(*"oth", "enter")
        await wait_until(lambda: "other" in status(pilot), "the other model")
        running = client(pilot).state.chat.active_model.model
        assert running is not None
        assert running.name == "other"
        # Another conversation keeps its own: it is loaded again when it goes on.
        (conversation,) = await client(pilot).state.chat.conversations.list_all()
        assert conversation.model == "other"


async def test_a_picker_finds_by_typing_and_gives_up_with_escape(
    run_app: RunApp, paths: Paths
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("alt+m")
        await wait_until(lambda: isinstance(pilot.app.screen, ModelsScreen), "the models")
        options = pilot.app.screen.query_one(OptionList)
        assert options.option_count >= 1
        await pilot.press(*"zzz")
        await wait_until(lambda: options.option_count == 0, "no match")
        await close(pilot)


# --- keys ---------------------------------------------------------------------------------------


async def test_a_key_of_ones_own_works_and_is_named_everywhere(run_app: RunApp) -> None:
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
def test_a_key_that_cannot_be_is_named(keys: dict[str, str], wrong: str, paths: Paths) -> None:
    with pytest.raises(SettingsError, match=wrong):
        check_keys(keys, paths.settings_file)


def test_two_actions_can_change_places(paths: Paths) -> None:
    check_keys({"new": "ctrl+b", "list": "ctrl+n"}, paths.settings_file)


# --- themes -------------------------------------------------------------------------------------


async def test_a_theme_of_ones_own(run_app: RunApp, paths: Paths) -> None:
    paths.themes_folder.mkdir(parents=True)
    (paths.themes_folder / "sea.toml").write_text('primary = "#0088aa"\ndark = false\n')
    settings = Settings(look=LookSettings(theme="sea"))
    async with run_app(ScriptedEngine(), settings=settings) as pilot:
        assert pilot.app.theme == "sea"
        colour = pilot.app.query_one(Prompt).styles.border_left[1]
        assert colour.hex.lower() == "#0088aa"


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("dark = true\n", "primary"),
        ('primary = "#12"\n', "#12"),
        ('primary = "red"\ncolour = "blue"\n', "colour"),
        ("primary = \n", "sea.toml"),
    ],
)
def test_a_theme_that_cannot_be_is_named(content: str, wrong: str, paths: Paths) -> None:
    paths.themes_folder.mkdir(parents=True)
    (paths.themes_folder / "sea.toml").write_text(content)
    (theme,) = read_themes(paths.themes_folder)
    assert isinstance(theme, InvalidTheme)
    assert wrong in theme.reason


async def test_a_theme_that_is_gone_is_said(run_app: RunApp) -> None:
    settings = Settings(look=LookSettings(theme="gone"))
    async with run_app(ScriptedEngine(), settings=settings, notifications=True) as pilot:
        assert pilot.app.theme == "baize-dark"
        await wait_until(lambda: "no theme gone" in notices(pilot), "the notice")
