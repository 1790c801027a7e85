"""Keys and clicks that come while a screen opens, closes or changes."""

from __future__ import annotations

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea

from baize_tui.app.screens.dialogs import HelpScreen, LineDialog
from baize_tui.app.screens.picker import Choice, Picker
from baize_tui.app.widgets.text_fields import LineInput, TextBox
from tests.app.key_fuzzer import is_running, send, settle
from tests.app.pilot import RunApp, ask, is_open, notices, screen, texts, titles, transcript
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def test_keys_wait_for_the_screen_that_they_open(run_app: RunApp) -> None:
    """Nothing is typed into the prompt below, or lost."""
    async with run_app(ScriptedEngine()) as pilot:
        await send(pilot, ["ctrl+p", *"keys", "enter"])
        await wait_until(lambda: is_open(pilot, HelpScreen), "the help")
        await send(pilot, ["escape", *"hello"])
        await wait_until(lambda: screen(pilot).prompt.text == "hello", "the words")


async def test_the_first_keys_wait_for_the_client(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await send(pilot, [*"Hi", "enter"])
        await wait_until(lambda: texts(pilot) == ["Hi", "Yes."], "the answer")


FAST = ["x", "end", *"ab", "backspace", "c", "ctrl+u", *"wrods", "left", "left", "left"]
"""Keys that come faster than they are handled."""


@pytest.mark.sampled(2)
@pytest.mark.parametrize("opening", ["f2", "ctrl+p", "alt+m", "alt+y", "f3"])
async def test_fields_handle_keys_in_their_order(opening: str, run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "Hi", "Yes.")
        await pilot.press(opening)
        await wait_until(lambda: pilot.app.screen is not screen(pilot), "the dialog")
        await wait_until(lambda: pilot.app.screen.is_mounted, "its widgets")
        field: Input | TextArea = pilot.app.screen.query(Input).first()
        if opening == "f3":
            field = pilot.app.screen.query(TextArea).first()
        field.focus()
        await settle(pilot)
        await send(pilot, [*FAST, "backspace", "o"])
        await settle(pilot)
        assert text_of(field).startswith("woods")


@pytest.mark.parametrize("opening", ["f2", "alt+o", "ctrl+f", "f3"])
async def test_no_field_takes_a_text_in_which_each_key_is_slow(
    opening: str, run_app: RunApp
) -> None:
    async with run_app(ScriptedEngine("Yes."), notifications=True) as pilot:
        await ask(pilot, "Hi", "Yes.")
        await pilot.press(opening)
        kind = TextBox if opening == "f3" else LineInput
        await wait_until(lambda: any(field.region for field in fields(pilot, kind)), "the field")
        await settle(pilot)
        field = fields(pilot, kind)[-1]
        field.focus()
        before = text_of(field)
        pilot.app.post_message(events.Paste("long line " * 100_000))
        await wait_until(lambda: "Too long" in notices(pilot), "the notice")
        assert text_of(field) == before
        pilot.app.post_message(events.Paste("a line of letters"))
        await wait_until(lambda: "a line of letters" in text_of(field), "the paste")


def fields(pilot: Pilot[int], kind: type[LineInput | TextBox]) -> list[LineInput | TextBox]:
    return list(pilot.app.screen.query(kind))


def text_of(field: Input | TextArea) -> str:
    return field.text if isinstance(field, TextArea) else field.value


async def test_what_is_typed_after_enter_is_not_in_the_title(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "Hi", "Yes.")
        await pilot.press("f2")
        await wait_until(lambda: is_open(pilot, LineDialog), "the dialog")
        await send(pilot, [*"gh", "enter", *"later"])
        await wait_until(lambda: titles(pilot) == ["High"], "the title")


async def test_a_key_before_a_dialog_has_widgets_does_nothing(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        picker = Picker("Which?", [Choice(letter, letter) for letter in "abc"])
        pushed = pilot.app.push_screen(picker)
        for action in ("move(1)", "page(-1)", "close"):
            assert not await pilot.app.run_action(action, picker)
        await pushed
        assert await pilot.app.run_action("move(1)", picker)
        await settle(pilot)
        assert is_running(pilot)


@pytest.mark.parametrize("keys", [["escape"] * 4, ["q", "escape", "f1"]])
async def test_a_dialog_closes_once(keys: list[str], run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("f1")
        await wait_until(lambda: is_open(pilot, HelpScreen), "the help")
        help = pilot.app.screen
        await send(pilot, keys)
        help.dismiss(None)
        help.dismiss(None)
        await settle(pilot)
        assert is_running(pilot)
        assert pilot.app.screen_stack[0] is screen(pilot)


async def test_a_click_on_what_is_left_of_a_removed_widget_does_nothing(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        words = Static("words")
        await screen(pilot).query_one("#column").mount(words, before=screen(pilot).prompt)
        await pilot.pause()
        x, y = words.region.offset
        # It is out of the tree, and on the screen until the next layout.
        parent, words._parent = words._parent, None
        await send(pilot, [f"mousedown:{x},{y}", f"move:{x + 3},{y}", f"mouseup:{x + 3},{y}"])
        await settle(pilot)
        assert is_running(pilot)
        words._parent = parent


async def test_a_turn_that_is_gone_is_not_selected(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "Hi", "Yes.")
        turn = transcript(pilot).turns[0]
        await pilot.press("ctrl+n")
        await wait_until(lambda: not texts(pilot), "a new conversation")
        transcript(pilot).select(turn)
        assert transcript(pilot).selected is None
