"""What the person does while the store is slow, such as on a slow disk."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace
from textual.events import Key

from tests.app.pilot import RunApp, ask, ask_and_pause, client, screen, texts, titles
from tests.app.slow import Slow
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def test_another_conversation_stays_open_when_an_answer_ends(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "First", "One ")
        reading = Slow(monkeypatch, client(pilot).state.chat.conversations, "get")
        engine.pause_at = None
        engine.go_on.set()
        await wait_until(reading.called.is_set, "the end of the answer")
        screen(pilot).conversation_view.open_new()
        reading.go_on.set()
        await ask(pilot, "Second", "One two.")
        assert texts(pilot) == ["Second", "One two."]
        await wait_until(lambda: titles(pilot) == ["Second", "First"], "both")


async def test_a_message_is_sent_where_it_was_written(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine("Yes.")
    async with run_app(engine) as pilot:
        await ask(pilot, "First", "Yes.")
        await wait_until(lambda: not screen(pilot).answers.in_progress, "its end")
        first = screen(pilot).view.conversation
        assert first is not None
        saving = Slow(monkeypatch, client(pilot).state.chat.drafts, "save")
        screen(pilot).prompt.insert("more")
        pilot.app.post_message(Key("enter", None))  # ``press`` would wait for the store
        await wait_until(saving.called.is_set, "the saving")
        screen(pilot).conversation_view.open_new()
        saving.go_on.set()
        await wait_until(lambda: len(engine.requests) == 2, "the answer")
        await wait_until(lambda: not screen(pilot).answers.in_progress, "its end")
        assert texts(pilot) == []
        await screen(pilot).parts.conversations.open(first.id)
        await wait_until(lambda: texts(pilot) == ["First", "Yes.", "more", "Yes."], "the first")


async def test_what_is_chosen_while_the_store_is_read_stays(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await ask(pilot, "First", "Yes.")
        await wait_until(lambda: not screen(pilot).answers.in_progress, "its end")
        view = screen(pilot).conversation_view
        chosen = screen(pilot).view.conversation
        assert chosen is not None
        conversations = client(pilot).state.chat.conversations
        reading = Slow(monkeypatch, conversations, "get", has_read=True)
        showing = asyncio.ensure_future(view.show_changes())
        await wait_until(reading.called.is_set, "the reading")
        await view.change_options(replace(chosen, system="Be brief."))
        reading.go_on.set()
        await showing
        now = screen(pilot).view.conversation
        assert now is not None
        assert now.system == "Be brief."
