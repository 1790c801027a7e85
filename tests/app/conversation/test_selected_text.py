"""Copying text that is selected with the mouse."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from baize_tui.app.screens.dialogs import HelpScreen
from tests.app.pilot import (
    RunApp,
    ask,
    ask_and_pause,
    client,
    is_open,
    screen,
    shown,
    texts,
    transcript,
)
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


@pytest.fixture(autouse=True)
def no_clipboard_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


async def select(pilot: Pilot[int], first: str, last: str) -> None:
    """Drag from the beginning of one word to the end of another."""
    lines, origin = shown(pilot).split("\n"), transcript(pilot).content_region.offset
    ends = []
    for word, within in ((first, 0), (last, len(last) - 1)):
        y = next(y for y, line in enumerate(lines) if word in line)
        ends.append((origin.x + lines[y].index(word) + within, origin.y + y))
    await pilot.mouse_down(offset=ends[0])
    await pilot.hover(offset=ends[1])
    await pilot.mouse_up(offset=ends[1])
    await wait_until(lambda: screen(pilot).get_selected_text(), "the selection")


async def test_ctrl_c_copies_the_selected_text(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One and **two**.")) as pilot:
        await ask(pilot, "A question", "One and **two**.")
        await pilot.press(*"draft")
        await select(pilot, "A question", "two.")
        await pilot.press("ctrl+c")
        await wait_until(lambda: pilot.app.clipboard == "A question\n\nOne and two.", "the copy")
        assert transcript(pilot).selected is None
        assert screen(pilot).prompt.text == "draft"


async def test_escape_ends_the_selection_and_nothing_else(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "A question", "One ")
        await select(pilot, "A question", "One")
        await pilot.press("escape")
        assert not screen(pilot).selections
        assert client(pilot).state.chat.busy
        await pilot.press("escape")
        await wait_until(lambda: not client(pilot).state.chat.busy, "the stop")


async def test_a_selection_stays_while_the_answer_grows(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", *(f"line {number}\n\n" for number in range(40)))
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "A question", "One ")
        await select(pilot, "A question", "A question")
        engine.go_on.set()
        await wait_until(lambda: "line 39" in shown(pilot), "the answer")
        await pilot.press("ctrl+c")
        await wait_until(lambda: pilot.app.clipboard == "A question", "the copy")


async def test_without_selected_text_the_prompt_copies_its_own(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await ask(pilot, "Hi", "One.")
        await pilot.press(*"draft", "shift+home", "ctrl+c")
        await wait_until(lambda: pilot.app.clipboard == "draft", "the copy")


async def test_the_text_of_a_dialog_is_copied_too(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("f1")
        await wait_until(lambda: is_open(pilot, HelpScreen), "the help")
        await pilot.pause()
        title = pilot.app.screen.query_one(".title").content_region
        await pilot.mouse_down(offset=title.offset)
        await pilot.hover(offset=(title.x + 3, title.y))
        await pilot.mouse_up(offset=(title.x + 3, title.y))
        await wait_until(lambda: pilot.app.screen.get_selected_text() == "Keys", "the selection")
        await pilot.press("ctrl+c")
        await wait_until(lambda: pilot.app.clipboard == "Keys", "the copy")


async def test_a_click_on_a_long_answer_does_not_scroll(run_app: RunApp) -> None:
    answer = "\n\n".join(f"line {number}" for number in range(60))
    async with run_app(ScriptedEngine(answer)) as pilot:
        await ask(pilot, "Hi", answer)
        await wait_until(lambda: "line 59" in shown(pilot), "the end")
        await pilot.click("#transcript", offset=(6, 6))
        await wait_until(lambda: transcript(pilot).selected is not None, "the choice")
        assert "line 59" in shown(pilot)
        assert texts(pilot)[-1] == answer
