"""The status line, and the notice in a terminal that is too small."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from textual import events
from textual.widgets import Static

from baize_shared.speeds import speed_text
from baize_tui.app.widgets.status_line import StatusLine
from baize_tui.engine.protocol import ThreadsChosen
from tests.app.pilot import (
    RunApp,
    ask,
    ask_and_pause,
    say,
    screen,
    status,
)
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def test_the_status_line_shows_the_threads(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.threads = ThreadsChosen(0, 1, 2, lowered=True)
    engine.pause_at = 1
    async with run_app(engine, size=(140, 30)) as pilot:
        await ask_and_pause(pilot, "Count", "One ")
        busy = "answering · 1 token · 1 of 2 threads: the machine is busy"
        await wait_until(lambda: status(pilot) == busy, "the reason")
        engine.go_on.set()
        await wait_until(lambda: "tokens/s · 1 of 2 threads" in status(pilot), "the end")
    engine = ScriptedEngine("One ", "two.")
    async with run_app(engine, size=(140, 30)) as pilot:
        await say(pilot, "Count")
        await wait_until(lambda: "tokens/s · 1 thread ·" in status(pilot), "the end")


@pytest.mark.sampled(4)
@pytest.mark.parametrize("draft", ["", "one", "word " * 1000])
@pytest.mark.parametrize("columns", [31, 60, 80, 100])
async def test_moderation_is_always_in_the_status_line(
    columns: int, draft: str, run_app: RunApp
) -> None:
    async with run_app(ScriptedEngine("One ", "two."), size=(columns, 24)) as pilot:
        await ask(pilot, "Count", "One two.")
        pilot.app.post_message(events.Paste(draft))
        state = "long" if len(draft) > 100 else "with draft" if draft else "/1000"
        await wait_until(lambda: state in status(pilot) or columns == 31, "the count")
        line = screen(pilot).query_one("#status-text", Static)
        await wait_until(lambda: str(line.render()).endswith("moderated"), "moderation")
        assert cell_len(str(line.render())) <= line.content_size.width


async def test_no_speed_is_shown_before_one_is_known(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:  # one token: it cannot be timed
        await ask(pilot, "Count", "One.")
        await wait_until(lambda: "context" in status(pilot), "the end")
        assert "tokens/s" not in status(pilot)


@pytest.mark.parametrize(
    ("speed", "text"),
    [
        (0.0, ""),
        (0.04, "0.04"),
        (0.4, "0.4"),
        (1, "1.0"),
        (9.94, "9.9"),
        (9.96, "10"),
        (33.3, "33"),
    ],
)
def test_a_slow_speed_has_more_digits(speed: float, text: str) -> None:
    assert speed_text(speed) == (f"{text} tokens/s" if text else "")


async def test_a_long_problem_is_shown_in_place_of_the_keys(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine(), size=(80, 24)) as pilot:
        line, keys = screen(pilot).status, screen(pilot).query_one("#status-keys")
        line.show("x" * 70, "problem")
        await pilot.pause()
        assert not keys.display
        line.show("x" * 20, "problem")
        await pilot.pause()
        assert keys.display


async def test_a_narrow_status_line_omits_the_threads(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One ", "two."), size=(80, 24)) as pilot:
        await say(pilot, "Count")
        await wait_until(lambda: "tokens/s" in status(pilot), "the end")
        assert "thread" not in status(pilot)
        assert status(pilot).endswith("moderated")


async def test_four_key_hints_at_most(run_app: RunApp) -> None:
    for columns, idle, busy in (
        (120, "^n new  ^b list  f1 help  ^q quit", "esc stop  ^n new  ^b list  ^q quit"),
        (80, "f1 help  ^q quit", "esc stop  ^q quit"),
        (40, "", ""),
    ):
        engine = ScriptedEngine("One ", "two.")
        engine.pause_at = 1
        async with run_app(engine, size=(columns, 24)) as pilot:
            line = pilot.app.query_one(StatusLine)
            assert line.hints == idle
            await say(pilot, "Count")
            await wait_until(engine.paused.is_set, "the answer")
            assert line.hints == busy
            engine.go_on.set()
            await wait_until(lambda line=line, idle=idle: line.hints == idle, "the end")


async def test_the_palette_opens_by_a_click_on_the_status_line(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.click("#status-text", offset=(3, 0))
        await wait_until(lambda: pilot.app.screen is not screen(pilot), "the palette")


async def test_a_terminal_that_is_too_small_shows_a_notice_until_it_grows(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        notice = screen(pilot).query_one("#too-small", Static)
        await pilot.press(*"draft")
        await pilot.resize_terminal(20, 5)
        await wait_until(lambda: notice.display, "the notice")
        assert "20x5 is too small" in str(notice.render())
        await pilot.resize_terminal(80, 24)
        await wait_until(lambda: not notice.display, "its end")
        assert screen(pilot).prompt.text == "draft"


async def test_the_hints_are_for_the_list_or_the_selected_message(run_app: RunApp) -> None:
    idle = "^n new  ^b list  f1 help  ^q quit"
    async with run_app(ScriptedEngine("One."), size=(120, 24)) as pilot:
        line = pilot.app.query_one(StatusLine)
        await ask(pilot, "Hi", "One.")
        await wait_until(lambda: line.hints == idle, "the usual hints")
        await pilot.press("ctrl+b")
        in_list = "enter open  delete delete  f1 help  esc back"
        await wait_until(lambda: line.hints == in_list, "those of the list")
        await pilot.press("escape", "alt+up")
        selected = "alt+e edit  alt+c copy  ^r again  esc deselect"
        await wait_until(lambda: line.hints == selected, "those of the message")
        await pilot.press("ctrl+n")
        await wait_until(lambda: line.hints == idle, "the usual hints")
