"""The tokens of a draft, in the status line."""

from __future__ import annotations

import pytest
from textual import events

from baize_tui.settings import ChatSettings, Settings
from tests.app.pilot import (
    RunApp,
    status,
    texts,
)
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def test_the_cost_of_a_draft_is_shown_before_it_is_sent(run_app: RunApp) -> None:
    chat = ChatSettings(system="be brief", moderation=False, max_tokens=10)
    engine = ScriptedEngine("yes", n_ctx=60)
    async with run_app(engine, settings=Settings(chat=chat)) as pilot:
        await pilot.press(*"one two three")
        await wait_until(lambda: "5/60 with draft" in status(pilot), "the count")
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot)[1:] == ["yes"], "the answer")
        await pilot.press(*"four")
        await wait_until(lambda: "7/60 with draft" in status(pilot), "the count with all before")
        pilot.app.post_message(events.Paste(" word" * 50))
        await wait_until(lambda: "drops oldest turns" in status(pilot), "the warning")


async def test_a_cleared_draft_costs_nothing_at_once(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press(*"one")
        await wait_until(lambda: "with draft" in status(pilot), "the count")
        monkeypatch.setattr("baize_tui.app.conversation.draft_cost.COUNT_AFTER_S", 3600)
        await pilot.press(*["backspace"] * 3)
        await wait_until(lambda: "with draft" not in status(pilot), "no cost")
