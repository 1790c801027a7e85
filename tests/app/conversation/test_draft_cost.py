"""How full the context is, in the status line: with the draft, and after every change."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace
from textual import events
from textual.pilot import Pilot

from baize_tui.app.conversation.idle_status import EFFECTS
from baize_tui.settings import ChatSettings, Overflow, Settings
from tests.app.pilot import (
    RunApp,
    ask,
    client,
    screen,
    shown,
    status,
    texts,
)
from tests.chat.scripted_engine import ScriptedEngine, model
from tests.conftest import wait_until

PLAIN = Settings(chat=ChatSettings(system="", moderation=False, max_tokens=10))


def used(pilot: Pilot[int]) -> int | None:
    """The tokens of the context, without a draft."""
    found = re.search(r"context (\d+)/\d+( with draft)?", status(pilot))
    return int(found[1]) if found is not None and not found[2] else None


async def test_the_cost_of_a_draft_is_shown_before_it_is_sent(run_app: RunApp) -> None:
    chat = ChatSettings(system="be brief", moderation=False, max_tokens=10)
    engine = ScriptedEngine("yes", n_ctx=100)
    async with run_app(engine, settings=Settings(chat=chat)) as pilot:
        await pilot.press(*"one two three")
        await wait_until(lambda: "5/100 with draft" in status(pilot), "the count")
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot)[1:] == ["yes"], "the answer")
        await pilot.press(*"four")
        await wait_until(lambda: "7/100 with draft" in status(pilot), "the count with all before")
        pilot.app.post_message(events.Paste(" word" * 85))
        await wait_until(lambda: EFFECTS["drops_turns"] in status(pilot), "the warning")


@pytest.mark.parametrize("overflow", ["drop", "stop"])
async def test_a_draft_that_cannot_be_sent_is_announced(
    run_app: RunApp, overflow: Overflow
) -> None:
    chat = ChatSettings(system="", moderation=False, max_tokens=10, overflow=overflow)
    engine = ScriptedEngine("yes", n_ctx=100)
    async with run_app(engine, settings=Settings(chat=chat)) as pilot:
        await ask(pilot, "one", "yes")
        words = 95 if overflow == "drop" else 89
        pilot.app.post_message(events.Paste("word " * words))
        await wait_until(lambda: EFFECTS["fails"] in status(pilot), "the warning")
        await pilot.press("enter")
        await wait_until(lambda: screen(pilot).status.kind == "problem", "the failure")


async def test_pinned_turns_count_when_a_draft_is_too_long(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("yes", n_ctx=100), settings=PLAIN) as pilot:
        await ask(pilot, " ".join(["pinned"] * 20), "yes")
        await ask(pilot, " ".join(["other"] * 20), "yes")
        await pilot.press(*["alt+up"] * 4, "alt+p", "escape")
        await wait_until(lambda: "pinned" in shown(pilot), "the pin")
        pilot.app.post_message(events.Paste("word " * 60))
        await wait_until(lambda: EFFECTS["drops_turns"] in status(pilot), "it fits without one")
        pilot.app.post_message(events.Paste("word " * 20))
        await wait_until(lambda: EFFECTS["fails"] in status(pilot), "it does not fit at all")


async def test_a_cleared_draft_costs_nothing_at_once(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press(*"one")
        await wait_until(lambda: "with draft" in status(pilot), "the count")
        monkeypatch.setattr("baize_tui.app.conversation.draft_cost.COUNT_AFTER_S", 3600)
        await pilot.press(*["backspace"] * 3)
        await wait_until(lambda: "with draft" not in status(pilot), "no cost")


async def edit(pilot: Pilot[int]) -> int:
    await pilot.press("alt+e", *" and more words", "enter")
    await wait_until(lambda: "2/2" in shown(pilot), "the branch")
    return 8


async def edit_and_go_back(pilot: Pilot[int]) -> int:
    await edit(pilot)
    await pilot.press("alt+left")
    await wait_until(lambda: "1/2" in shown(pilot), "the branch before")
    return 5


async def leave_an_edit(pilot: Pilot[int]) -> int:
    await pilot.press("alt+e", *" and more words", "escape", "left")
    return 5


async def delete_an_answer(pilot: Pilot[int]) -> int:
    await pilot.press("alt+up", "alt+d")
    await wait_until(lambda: texts(pilot)[-1:] == ["two"], "the deletion")
    await pilot.press("left")  # the note of the deletion ends with a key
    return 4


async def delete_a_turn(pilot: Pilot[int]) -> int:
    await pilot.press("alt+up", "alt+up", "alt+d")
    await wait_until(lambda: texts(pilot)[-1:] == ["yes"], "the deletion")
    await pilot.press("left")  # the note of the deletion ends with a key
    return 3


async def delete_and_undo(pilot: Pilot[int]) -> int:
    await delete_a_turn(pilot)
    await pilot.press("alt+z")
    await wait_until(lambda: len(texts(pilot)) == 4, "the undo")
    return 5


async def another_system_prompt(pilot: Pilot[int]) -> int:
    view = screen(pilot).conversation_view
    conversation = screen(pilot).view.conversation
    assert conversation is not None
    await view.change_options(replace(conversation, system="You are a pirate."))
    return 9


async def a_new_conversation(pilot: Pilot[int]) -> None:
    await pilot.press("ctrl+n")


async def another_model(pilot: Pilot[int]) -> None:
    """Which has not counted anything."""
    await client(pilot).state.chat.use_model(model("/nowhere/other.gguf", "other"))
    screen(pilot).model_loading.show_loaded()


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    "change",
    [
        edit,
        edit_and_go_back,
        leave_an_edit,
        delete_an_answer,
        delete_a_turn,
        delete_and_undo,
        another_system_prompt,
        a_new_conversation,
        another_model,
    ],
)
async def test_the_context_is_counted_after_every_change(
    change: Callable[[Pilot[int]], Awaitable[int | None]], run_app: RunApp
) -> None:
    async with run_app(ScriptedEngine("yes"), settings=PLAIN, size=(140, 30)) as pilot:
        await ask(pilot, "one thing", "yes")
        await ask(pilot, "two", "yes")
        await wait_until(lambda: used(pilot) == 5, "the context")
        wanted = await change(pilot)
        await wait_until(lambda: used(pilot) == wanted, "the context after the change")
