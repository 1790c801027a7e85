"""How an answer was made: below it, and in full."""

from __future__ import annotations

import json
import sqlite3

import pytest
from msgspec.structs import replace
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.widgets import Static

from baize_tui.app.screens.answer_details import (
    BY_PERSON,
    NO_RECORD,
    AnswerDetails,
    details,
)
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from baize_tui.store.records import BranchPosition
from tests.app.pilot import RunApp, ask, client, is_open, screen, shown, texts
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


async def answered(pilot: Pilot[int], question: str = "Hi", answer: str = "One.") -> None:
    await ask(pilot, question, answer)
    await wait_until(lambda: not client(pilot).state.chat.busy, "its end")


async def open_details(pilot: Pilot[int]) -> str:
    """Open the dialog; returns its text."""
    await pilot.press("alt+i")
    await wait_until(lambda: is_open(pilot, AnswerDetails), "the details")
    return details_text(pilot)


def details_text(pilot: Pilot[int]) -> str:
    return "\n".join(str(part.render()) for part in pilot.app.screen.query(Static))


def row(text: str, name: str) -> str:
    """The value beside ``name``."""
    return next(line for line in text.split("\n") if line.startswith(name))[len(name) :].strip()


async def test_a_line_below_the_answer_says_how_it_was_made(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    async with run_app(engine, size=(140, 30)) as pilot:
        await answered(pilot, answer="One two.")
        await wait_until(lambda: "1.0 tokens/s" in shown(pilot), "the line")
        assert "scripted · 1.1 s · 2 tokens · 1.0 tokens/s · 0 of" in shown(pilot)
        engine.script = ["Two."]
        await pilot.press("ctrl+r")
        await wait_until(lambda: "‹ 2/2 ›" in shown(pilot), "the branch")
        (line,) = (line for line in shown(pilot).split("\n") if "2/2" in line)
        assert line.strip().startswith("scripted · 1.1 s · 1 token")


async def test_answers_of_a_conversation_that_is_opened_have_the_line(
    run_app: RunApp, paths: Paths
) -> None:
    async with run_app(ScriptedEngine("One."), size=(140, 30)) as pilot:
        await answered(pilot)
    (conversation,) = stored(paths).conversations()
    async with run_app(
        ScriptedEngine("Two."), size=(140, 30), open_session=conversation.id
    ) as pilot:
        await wait_until(lambda: "scripted · 1.1 s · 1 token" in shown(pilot), "the line")


def stored(paths: Paths) -> Store:
    return Store(paths.conversations_file)


async def test_the_details_have_everything_that_is_known(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    async with run_app(engine, size=(140, 50)) as pilot:
        await answered(pilot, answer="One two.")
        await pilot.press("ctrl+r")
        await wait_until(lambda: "‹ 2/2 ›" in shown(pilot), "the branch")
        await pilot.press("alt+w")
        await wait_until(lambda: "▼ bad" in shown(pilot), "the mark")
        text = await open_details(pilot)
        assert row(text, "name") == "scripted"
        assert "scripted.gguf(0.0MB)" in "".join(text.split())  # the path may be wrapped
        assert row(text, "format") == "template"
        assert row(text, "reused").startswith("0 ")
        assert row(text, "seed") == "42"
        assert row(text, "end") == "the model ended it"
        assert row(text, "speed") == "1.0 tokens/s"
        assert row(text, "threads") == "1 writing, 2 reading"
        assert row(text, "KV cache") == "f16"
        assert row(text, "backend") == "scripted"
        assert row(text, "branch") == "2 of 2"
        assert row(text, "mark") == "bad"
        assert len(row(text, "SHA-256")) == 64
        await pilot.press("escape")
        await wait_until(lambda: not is_open(pilot, AnswerDetails), "the end")


async def test_only_sampling_that_differs_is_shown_first(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One."), size=(140, 60)) as pilot:
        chat = client(pilot).state.chat
        conversation = await chat.new_conversation()
        await chat.conversations.set_options(replace(conversation, sampling={"top_k": 7}))
        await screen(pilot).conversation_view.open(await chat.conversations.get(conversation.id))
        await answered(pilot)
        text = await open_details(pilot)
        assert row(text, "top_k") == "7"
        assert "min_p" not in text
        await pilot.press("a")
        await wait_until(lambda: "min_p" in details_text(pilot), "all of them")
        assert row(details_text(pilot), "temperature") == "0.7"
        await pilot.press("a")
        await wait_until(lambda: "min_p" not in details_text(pilot), "only that")


async def test_the_keys_scroll_the_details(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One."), size=(80, 24)) as pilot:
        await answered(pilot)
        await open_details(pilot)
        dialog = pilot.app.screen.query_one(VerticalScroll)
        for key in ("end", "a", "home"):
            await pilot.press(key)
            at_end = key != "home"
            await wait_until(lambda at_end=at_end: bool(dialog.scroll_y) == at_end, "the place")


async def test_a_click_on_the_line_opens_the_details(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One."), size=(140, 30)) as pilot:
        await answered(pilot)
        await wait_until(lambda: "1.1 s" in shown(pilot), "the line")
        rows = shown(pilot).split("\n")
        line = next(y for y, text in enumerate(rows) if "1.1 s" in text)
        await pilot.click("#transcript", offset=(rows[line].index("1.1 s"), line + 1))
        await wait_until(lambda: is_open(pilot, AnswerDetails), "the details")


async def test_an_answer_that_a_person_wrote_says_so(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One."), size=(140, 30)) as pilot:
        await answered(pilot)
        await pilot.press("alt+up", "alt+e", *" Two.", "enter")
        await wait_until(lambda: texts(pilot) == ["Hi", "One. Two."], "the edited answer")
        await wait_until(lambda: "‹ 2/2 ›" in shown(pilot), "the branch")
        assert "1.1 s" not in shown(pilot)
        text = await open_details(pilot)
        assert BY_PERSON in text


@pytest.mark.parametrize(
    "provenance",
    [
        "{",
        "[]",
        "{}",
        '{"model": 7, "prompt_tokens": "many", "sampling": [], "adapters": {"a": "much"}}',
        '{"model": 1, "decode_s": 1e999}',
        '{"model": "m", "prefill_s": -1, "prompt_tokens": 1, "reused_tokens": 9}',
        '{"model": "m", "sampling": {"a": {}}}',
        '{"model": "m", "gpu_layers": -1, "finish_reason": "because", "threads": 1}',
    ],
)
async def test_what_other_programs_have_recorded_is_shown_as_far_as_it_makes_sense(
    run_app: RunApp, paths: Paths, provenance: str
) -> None:
    store = stored(paths)
    conversation = store.new_conversation(system="", moderation=False, title="T")
    question = store.add_message(conversation.id, None, "user", "Hi")
    store.add_message(conversation.id, question.id, "assistant", "One.")
    store.close()
    with sqlite3.connect(paths.conversations_file) as other:
        other.execute("UPDATE message SET provenance = ? WHERE role = 'assistant'", (provenance,))
    other.close()
    async with run_app(ScriptedEngine(), open_session=conversation.id) as pilot:
        await wait_until(lambda: "One." in shown(pilot), "the answer")
        text = await open_details(pilot)
        known = provenance.startswith('{"model": "m"')
        assert ("name" in text) == known
        assert (NO_RECORD in text) == (not known and "prompt_tokens" not in provenance)


def test_each_field_of_an_answer_from_a_crashed_and_resumed_worker(paths: Paths) -> None:
    store = stored(paths)
    conversation = store.new_conversation(system="", moderation=False)
    question = store.add_message(conversation.id, None, "user", "Hi")
    answer = store.add_message(conversation.id, question.id, "assistant", "One.", state="stopped")
    recorded = {
        "model": "m",
        "model_path": "/m.gguf",
        "model_bytes": 4_100_000_000,
        "adapters": {"plum": 0.5, "pear": 0.0},
        "prompt_tokens": 160,
        "reused_tokens": 120,
        "completion_tokens": 41,
        "thinking_tokens": 10,
        "resumed_tokens": 20,
        "guessed_tokens": 6,
        "accepted_tokens": 4,
        "ttft_s": 0.5,
        "prefill_s": 0.4,
        "decode_s": 2.0,
        "gpu_layers": -1,
        "finish_reason": "cancelled",
        "flash_attention": False,
    }
    with store.database.transaction() as connection:
        connection.execute(
            "UPDATE message SET provenance = ? WHERE id = ?", (json.dumps(recorded), answer.id)
        )
    message = store.message(answer.id)
    parts = details(message, BranchPosition(1, 2), show_all=False)
    assert dict(parts["Answer"]) | {"date": ""} == {
        "date": "",
        "end": "stopped · you stopped it",
        "tokens": "41, 10 of them its thought",
        "time": "2.50 s, the first token after 0.50 s",
        "speed": "10 tokens/s",
        "guessed": "6 tokens, 4 right",
        "branch": "1 of 2",
    }
    assert parts["Model"] == [
        ("name", "m"),
        ("file", "/m.gguf (4.1 GB)"),
        ("SHA-256", "was not computed yet"),
        ("adapter", "plum, scale 0.5"),
        ("adapter", "pear, switched off"),
    ]
    assert parts["Prompt"] == [
        ("tokens", "160"),
        ("reused", "120 that the model had read before"),
        ("newly read", "40, read in 0.40 s (100 tokens/s)"),
    ]
    assert parts["Machine"] == [("GPU layers", "all"), ("flash attention", "off")]
    assert "Sampling" not in parts
    store.close()
