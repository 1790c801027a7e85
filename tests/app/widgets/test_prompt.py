"""The prompt: typing, pastes, commands, earlier messages, the editor."""

from __future__ import annotations

import contextlib

import pytest
from textual import events

from baize_tui.app.app import BaizeApp
from baize_tui.app.widgets.pastes import Pastes
from baize_tui.app.widgets.prompt import Prompt
from tests.app.pilot import (
    RunApp,
    say,
    screen,
    shown,
    status,
    texts,
)
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def test_enter_is_handled_after_the_letters_typed_before_it(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("Yes.")) as pilot:
        await pilot.press(*"one two", "ctrl+j", *"three", "enter")
        await wait_until(lambda: texts(pilot)[:1] == ["one two\nthree"], "the question")


async def test_editing_keys_are_handled_in_the_order_they_were_typed(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        prompt = pilot.app.query_one(Prompt)
        keys = [*"onetwo", *["backspace"] * 3, *"thre", "left", "e", "home", "delete", "O"]
        for key in keys:
            character = key if len(key) == 1 else None
            pilot.app.post_message(events.Key(key, character))
        await wait_until(lambda: prompt.text == "Onethree", "the text")


async def test_a_paste_is_inserted_once_and_sanitized(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        prompt = pilot.app.query_one(Prompt)
        pilot.app.post_message(events.Paste("two\r\nlines\x1b[31m"))
        await wait_until(lambda: prompt.text == "two\nlines␛[31m", "the paste")


async def test_earlier_messages_are_recalled(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        for question in ("first", "second"):
            await say(pilot, question)
            await wait_until(lambda: "tokens/s" in status(pilot), "the answer")
        prompt = pilot.app.query_one(Prompt)
        for key, text in (("ctrl+up", "second"), ("ctrl+up", "first"), ("ctrl+down", "second")):
            await pilot.press(key)
            await wait_until(lambda text=text: prompt.text == text, text)


async def test_the_draft_goes_through_the_editor(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", "sed -i s/draft/text/")
    monkeypatch.setattr(BaizeApp, "suspend", lambda self: contextlib.nullcontext())
    async with run_app(ScriptedEngine()) as pilot:
        prompt = pilot.app.query_one(Prompt)
        prompt.insert("my draft")
        await pilot.press("ctrl+o")
        await wait_until(lambda: prompt.text == "my text", "the editor")


async def test_a_large_paste_is_shown_as_a_mark_and_sent_in_full(run_app: RunApp) -> None:
    pasted = "\n".join(f"line {number}" for number in range(500))
    async with run_app(ScriptedEngine("Yes.", n_ctx=9000)) as pilot:
        prompt = screen(pilot).prompt
        await pilot.press(*"see ")
        pilot.app.post_message(events.Paste(pasted))
        await wait_until(lambda: prompt.text == "see [paste 1: 500 lines]", "the mark")
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot)[1:] == ["Yes."], "the answer")
        assert texts(pilot)[0] == f"see {pasted}"
        assert "488 more lines · alt+r unfolds" in shown(pilot)


async def test_backspace_deletes_a_whole_mark(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        prompt = screen(pilot).prompt
        pilot.app.post_message(events.Paste("x" * 5000))
        await wait_until(lambda: prompt.text == "[paste 1: 5000 characters]", "the mark")
        await pilot.press("backspace")
        assert prompt.text == ""


def test_brackets_that_are_no_paste_are_kept() -> None:
    pastes = Pastes()
    assert pastes.expand("[paste 1: 3 lines] [x]") == "[paste 1: 3 lines] [x]"
    mark = pastes.collapse("a\nb\nc")
    assert pastes.expand(f"{mark} [paste 2: 1 lines]") == "a\nb\nc [paste 2: 1 lines]"


async def test_a_slash_is_completed_by_tab(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press(*"/mod")
        prompt = screen(pilot).prompt
        assert prompt.suggestion == "el"
        await pilot.press("e", "r", "backspace", "backspace", *"er")
        assert prompt.suggestion == "ation"
        await pilot.press("tab", "enter")
        await wait_until(lambda: "not moderated" in status(pilot), "the switch")


async def test_undoing_what_was_typed(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press(*"one", "ctrl+underscore")
        assert screen(pilot).prompt.text == ""
