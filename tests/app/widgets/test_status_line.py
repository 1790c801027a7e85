"""The status line, and the notice in a terminal that is too small."""

from __future__ import annotations

from textual.widgets import Static

from baize_tui.app.widgets.status_line import StatusLine
from baize_tui.engine.protocol import ThreadsChosen
from tests.app.pilot import (
    RunApp,
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
        busy = "answering · 1 of 2 threads: the machine is busy"
        await wait_until(lambda: status(pilot) == busy, "the reason")
        engine.go_on.set()
        await wait_until(lambda: "tokens/s · 1 of 2 threads" in status(pilot), "the end")
    engine = ScriptedEngine("One ", "two.")
    async with run_app(engine, size=(140, 30)) as pilot:
        await say(pilot, "Count")
        await wait_until(lambda: "tokens/s · 1 thread ·" in status(pilot), "the end")


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
