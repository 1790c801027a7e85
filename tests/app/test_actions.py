"""The table of actions, the keys page, and the person's own keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from textual import events
from textual._xterm_parser import XTermParser
from textual.widgets import Static

from baize_tui.app.actions import ACTIONS, actions_with_keys, check_keys, keys_page
from baize_tui.app.conversation.commands import Commands
from baize_tui.app.screens.dialogs import HelpScreen
from baize_tui.app.screens.prompt_view import PromptView
from baize_tui.app.taken_keys import TAKERS, Taker, taken_here
from baize_tui.app.widgets.prompt import Prompt
from baize_tui.paths import Paths
from baize_tui.settings import Settings, SettingsError
from tests.app.pilot import (
    RunApp,
    ask,
    ask_and_pause,
    is_open,
    notices,
    say,
    screen,
    shown,
    status,
    texts,
)
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def test_every_action_is_a_command(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        commands = Commands(screen(pilot).parts)
        assert set(commands.plain) == {action.id for action in ACTIONS if not action.argument}
        assert set(commands.with_argument) == {action.id for action in ACTIONS if action.argument}


def test_every_action_has_its_own_keys() -> None:
    keys = [key for action in ACTIONS for key in action.keys]
    assert len(set(keys)) == len(keys)


def test_the_keys_page_is_the_table() -> None:
    """Made by: python -m baize_tui.app.actions > docs/keys.md"""
    page = Path(__file__).parents[2] / "docs" / "keys.md"
    assert page.read_text(encoding="utf-8") == keys_page()


# --- keys that do not arrive ----------------------------------------------------------------------


@pytest.mark.parametrize("taker", TAKERS, ids=lambda taker: taker.name)
def test_every_action_has_a_key_that_programs_around_the_client_let_through(taker: Taker) -> None:
    assert taker.source
    with_keys = [action for action in ACTIONS if action.keys]
    without = [action.id for action in with_keys if taker.keys.issuperset(action.keys)]
    assert without == []


def sequence_of(key: str) -> str:
    """What a terminal without the kitty protocol sends for a key."""
    named = {"up": "A", "down": "B", "right": "C", "left": "D", "end": "F", "home": "H"}
    functions = [11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 23, 24]
    *modifiers, name = key.split("+")
    match modifiers, name:
        case [], "escape":
            return "\x1b"
        case [], _:
            return f"\x1b[{functions[int(name.removeprefix('f')) - 1]}~"
        case ["alt" | "ctrl" as modifier], _ if name in named:
            return f"\x1b[1;{3 if modifier == 'alt' else 5}{named[name]}"
        case ["alt"], _:
            return f"\x1b{name}"
        case ["alt", "shift"], _:
            return f"\x1b{name.upper()}"
        case _:
            return chr(ord(name) & 0x1F)


@pytest.mark.parametrize("key", [key for action in ACTIONS for key in action.keys])
async def test_textual_reads_the_key_from_a_terminal(key: str) -> None:
    """Textual 8.2 reads Alt+B and Alt+F as Ctrl+Left and Ctrl+Right, and Alt+, as a comma."""
    parser = XTermParser()
    read = [*parser.feed(sequence_of(key))]

    def has_read() -> bool:
        read.extend(parser.tick())  # whether Esc begins a sequence is known only after a while
        return bool(read)

    await wait_until(has_read, "the key")
    assert [event.key for event in read if isinstance(event, events.Key)] == [key]


@pytest.mark.parametrize(
    ("environment", "platform", "id", "key"),
    [
        ({}, "linux", "list", "ctrl+b"),
        ({"TMUX": "/tmp/tmux-1000/default,1,0"}, "linux", "list", "f5"),
        ({}, "darwin", "earlier", "f8"),
        ({"TERM_PROGRAM": "vscode"}, "linux", "quit", "f10"),
        ({"TERM_PROGRAM": "WezTerm"}, "linux", "quit", "ctrl+q"),
    ],
)
def test_the_key_is_shown_that_works_here(
    environment: dict[str, str], platform: str, id: str, key: str
) -> None:
    actions = actions_with_keys({}, taken_here(environment, platform))
    assert next(action.key for action in actions if action.id == id) == key


async def test_both_keys_of_an_action_work(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "Hi", "Yes.")
        for key in ("ctrl+b", "f5"):
            await pilot.press(key)
            await wait_until(lambda: screen(pilot).conversation_list.has_focus, "the list")
            await pilot.press(key)
            await wait_until(lambda: screen(pilot).prompt.has_focus, "the prompt")
        for key in ("ctrl+up", "f8"):
            await pilot.press(key)
            await wait_until(lambda: screen(pilot).prompt.text == "Hi", "the earlier message")
            await pilot.press("ctrl+down" if key == "ctrl+up" else "f9")
            await wait_until(lambda: screen(pilot).prompt.text == "", "the draft")


async def test_an_own_key_replaces_both_keys_and_wins_over_a_second_key(run_app: RunApp) -> None:
    settings = Settings(keys={"list": "f9", "earlier": "alt+5", "quit": "f11"})
    async with run_app(ScriptedEngine("Yes."), settings=settings) as pilot:
        await ask(pilot, "Hi", "Yes.")
        await pilot.press("f5", "ctrl+b", "ctrl+q", "f8", "ctrl+up")
        assert screen(pilot).prompt.has_focus
        assert screen(pilot).prompt.text == ""
        await pilot.press("alt+5")
        await wait_until(lambda: screen(pilot).prompt.text == "Hi", "the earlier message")
        await pilot.press("f9")
        await wait_until(lambda: screen(pilot).conversation_list.has_focus, "the list")


async def test_an_action_without_a_key_can_be_given_one(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes."), settings=Settings(keys={"inspect": "f11"})) as pilot:
        await ask(pilot, "Hi", "Yes.")
        await pilot.press("f11")
        await wait_until(lambda: is_open(pilot, PromptView), "the prompt")


# --- Ctrl+C ---------------------------------------------------------------------------------------


async def test_ctrl_c_stops_the_answer_and_then_says_how_to_quit(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine, notifications=True) as pilot:
        await ask_and_pause(pilot, "Count", "One ")
        await pilot.press("ctrl+c")
        await wait_until(lambda: "stopped" in shown(pilot), "the stop")
        assert "quits" not in notices(pilot)
        await pilot.press("ctrl+c")
        await wait_until(lambda: "^q quits" in notices(pilot), "the hint")


async def test_ctrl_c_copies_what_is_selected(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine(), notifications=True) as pilot:
        await pilot.press(*"word", "shift+left", "shift+left", "ctrl+c")
        assert pilot.app.clipboard == "rd"
        assert "quits" not in notices(pilot)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("opens", ["f1", "f4", "ctrl+p", "alt+m"])
async def test_ctrl_c_says_how_to_close_a_screen(opens: str, run_app: RunApp) -> None:
    async with run_app(ScriptedEngine(), notifications=True) as pilot:
        await pilot.press(opens)
        await wait_until(lambda: pilot.app.screen is not screen(pilot), "the screen")
        await pilot.press("ctrl+c")
        await wait_until(lambda: "^q quits · esc closes" in notices(pilot), "the hint")


# --- commands -------------------------------------------------------------------------------------


async def test_commands_mirror_the_actions(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await say(pilot, "/help")
        await wait_until(lambda: is_open(pilot, HelpScreen), "the help")
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
