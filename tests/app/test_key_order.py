"""Keys that are pressed faster than the client handles them, such as those of a key macro."""

from __future__ import annotations

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from baize_tui.app.screens.dialogs import LineDialog
from baize_tui.app.screens.search import SearchScreen
from baize_tui.app.widgets.find_bar import FindBar
from baize_tui.app.widgets.prompt import Prompt
from tests.app.pilot import (
    RunApp,
    ask,
    is_open,
    screen,
    texts,
    titles,
)
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


def press_at_once(pilot: Pilot[int], *keys: str) -> None:
    """Press keys without a pause; a word is typed."""
    for key in keys:
        is_word = key.islower() and "+" not in key and key not in _NAMED
        for each in key if is_word else (key,):
            pilot.app.post_message(Key(each, each if len(each) == 1 else None))


_NAMED = ("enter", "escape", "down", "f2")


def written(pilot: Pilot[int]) -> str:
    return screen(pilot).query_one(Prompt).text


async def wait_for_ready(pilot: Pilot[int]) -> None:
    await wait_until(lambda: not screen(pilot).answers.in_progress, "the end of the answer")


async def test_a_message_is_sent_where_it_was_written(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "One", "Yes.")
        await wait_for_ready(pilot)
        first = screen(pilot).view.open_id
        press_at_once(pilot, "two", "enter", "ctrl+n", "three", "enter")
        await wait_until(lambda: texts(pilot) == ["three", "Yes."], "the new conversation")
        assert first is not None
        await wait_for_ready(pilot)
        await screen(pilot).run_action(f"open_conversation({first!r})")
        await wait_until(lambda: texts(pilot) == ["One", "Yes.", "two", "Yes."], "the first")


async def test_a_draft_stays_in_its_conversation(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "One", "Yes.")
        press_at_once(pilot, "two", "ctrl+n", "three")
        await wait_until(lambda: written(pilot) == "three", "the draft of the new conversation")
        await wait_until(lambda: titles(pilot) == ["✎ One"], "the draft of the first")


async def test_a_message_is_not_mixed_with_an_edit(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "One", "Yes.")
        await wait_for_ready(pilot)
        press_at_once(pilot, "two", "enter", "alt+e")
        await wait_until(lambda: texts(pilot) == ["One", "Yes.", "two", "Yes."], "the message")


async def test_escape_stops_the_answer_to_what_was_just_sent(run_app: RunApp) -> None:
    engine = ScriptedEngine("Yes.")
    engine.pause_at = 0
    async with run_app(engine) as pilot:
        press_at_once(pilot, "one", "enter", "escape")
        await wait_until(lambda: texts(pilot)[:1] == ["one"], "the question")
        await wait_for_ready(pilot)


@pytest.mark.parametrize("command", [["f2"], ["/rename", "enter"]])
async def test_a_title_is_typed_into_its_dialog(run_app: RunApp, command: list[str]) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "One", "Yes.")
        await wait_until(lambda: titles(pilot) == ["One"], "the conversation")
        press_at_once(pilot, *command, "ly", "enter", "two")
        await wait_until(lambda: titles(pilot) == ["Onely"], "the title")
        await wait_until(lambda: written(pilot) == "two", "what was typed after it")
        assert texts(pilot) == ["One", "Yes."]


async def test_escape_closes_a_dialog_that_opens(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "One", "Yes.")
        press_at_once(pilot, "f2", "escape", "two")
        await wait_until(lambda: written(pilot) == "two", "what was typed after it")
        await pilot.pause()
        assert not is_open(pilot, LineDialog)


async def test_what_is_searched_is_typed_into_the_search(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        press_at_once(pilot, "ctrl+s", "quince")
        await wait_until(lambda: is_open(pilot, SearchScreen), "the search")
        typed = pilot.app.screen.query_one(Input)
        await wait_until(lambda: typed.value == "quince", "what is searched")
        assert not written(pilot)


async def test_what_is_found_is_typed_into_the_line_for_it(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "One", "Yes.")
        press_at_once(pilot, "ctrl+f", "yes")
        typed = screen(pilot).query_one(FindBar).query_one(Input)
        await wait_until(lambda: typed.value == "yes", "what is found")
        assert not written(pilot)


async def test_letters_after_enter_in_the_list_are_a_draft(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "One", "Yes.")
        await pilot.press("ctrl+n")
        await ask(pilot, "Two", "Yes.")
        await wait_until(lambda: titles(pilot) == ["Two", "One"], "both")
        press_at_once(pilot, "ctrl+b", "down", "enter", "hi")
        await wait_until(lambda: texts(pilot) == ["One", "Yes."], "the other conversation")
        await wait_until(lambda: written(pilot) == "hi", "the draft")


async def test_a_draft_is_saved_though_the_client_quits_at_once(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        press_at_once(pilot, "draft", "ctrl+q")
        await wait_until(lambda: pilot.app._exit, "the end")
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await wait_until(lambda: written(pilot) == "draft", "the draft")
