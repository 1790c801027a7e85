"""Answers as they are generated."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace
from textual.widgets import Static

from baize_tui.app.widgets.prompt import Prompt
from baize_tui.app.widgets.status_line import ANSWERING
from baize_tui.engine.client import WorkerDied
from baize_tui.engine.protocol import ThreadsChosen
from baize_tui.settings import ChatSettings, LookSettings, Settings
from tests.app.pilot import (
    RunApp,
    ask_and_pause,
    client,
    say,
    screen,
    shown,
    status,
    texts,
    titles,
    transcript,
)
from tests.chat.scripted_engine import ScriptedEngine, model
from tests.conftest import wait_until


async def test_a_question_is_answered_and_listed(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("The capital ", "is **Paris**.")) as pilot:
        await say(pilot, "What is the capital of France?")
        wanted = ["What is the capital of France?", "The capital is **Paris**."]
        await wait_until(lambda: texts(pilot) == wanted, "the answer")
        assert titles(pilot) == ["What is the capital of France?"]
        assert pilot.app.query_one(Prompt).text == ""
        await wait_until(lambda: "tokens/s" in status(pilot), "the speed")
        assert "The capital is Paris." in shown(pilot)


async def test_escape_stops_the_answer_and_keeps_its_text(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two ", "three.")
    engine.pause_at = 2
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "Count", "One two ")
        await pilot.press("escape")
        await wait_until(lambda: "tokens/s" in status(pilot), "the stop")
        assert texts(pilot)[-1] == "One two "
        assert "stopped · ^g continues" in shown(pilot)
        engine.pause_at, engine.script = None, ["three."]
        await pilot.press("ctrl+g")
        await wait_until(lambda: texts(pilot) == ["Count", "One two three."], "the rest")


async def test_typing_is_possible_while_the_model_answers(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "Count", "One ")
        await pilot.press(*"next")
        assert pilot.app.query_one(Prompt).text == "next"
        engine.go_on.set()
        await wait_until(lambda: texts(pilot)[-1:] == ["One two."], "the answer")


async def test_switching_away_and_back_while_it_streams(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two ", "three.")
    engine.pause_at = 2
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "Count", "One two ")
        await pilot.press("ctrl+n")
        await wait_until(lambda: texts(pilot) == [], "a new conversation")
        assert titles(pilot) == ["● Count"]
        await pilot.press("ctrl+b", "down", "enter")
        await wait_until(lambda: texts(pilot) == ["Count", "One two "], "the one before")
        engine.go_on.set()
        await wait_until(lambda: texts(pilot) == ["Count", "One two three."], "the answer")
        await wait_until(lambda: titles(pilot) == ["Count"], "the mark to go")


async def test_the_status_stays_that_of_the_answer_when_something_else_changes(
    run_app: RunApp,
) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "Count", "One ")
        assert status(pilot).startswith(f"{ANSWERING} · 1 token")
        await pilot.press("ctrl+n")
        await wait_until(lambda: texts(pilot) == [], "a new conversation")
        await pilot.press("ctrl+b", "down", "enter")
        await wait_until(lambda: texts(pilot) == ["Count", "One "], "the one before")
        await wait_until(lambda: status(pilot).startswith(ANSWERING), "the answer again")
        view = screen(pilot).conversation_view
        (conversation,) = await client(pilot).state.chat.conversations.list_all()
        await view.change_options(replace(conversation, overflow="stop"))
        assert status(pilot).startswith(ANSWERING)
        engine.go_on.set()
        await wait_until(lambda: "tokens/s" in status(pilot), "the end")


async def test_a_dead_worker_is_reported_and_the_client_continues(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", WorkerDied("the model process was ended by SIGKILL"))
    async with run_app(engine) as pilot:
        await say(pilot, "Count")
        await wait_until(lambda: "SIGKILL" in status(pilot), "the message")
        assert texts(pilot) == ["Count", "One "]
        assert "interrupted · ^g continues" in shown(pilot)
        engine.script = ["Fine."]
        await say(pilot, "Still there?")
        await wait_until(lambda: texts(pilot)[-1:] == ["Fine."], "the next answer")


async def test_a_failure_ends_with_the_next_attempt(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", WorkerDied("the model process was ended by SIGKILL"))
    async with run_app(engine) as pilot:
        await say(pilot, "Count")
        await wait_until(lambda: "SIGKILL" in shown(pilot), "the note")
        engine.script, engine.pause_at = ["two."], 0
        await pilot.press("ctrl+g")
        await wait_until(lambda: "SIGKILL" not in shown(pilot), "no note")
        assert "SIGKILL" not in status(pilot)
        engine.go_on.set()
        await wait_until(lambda: texts(pilot)[-1:] == ["One two."], "the answer")


async def test_reasoning_streams_folded_and_a_key_opens_it(run_app: RunApp) -> None:
    engine = ScriptedEngine("<think>It is ", "known.</think>", "Paris.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await say(pilot, "Capital?")
        await wait_until(lambda: "thinking · 2 words" in shown(pilot), "the thinking")
        engine.go_on.set()
        await wait_until(lambda: "▸ thought · 3 words" in shown(pilot), "the thought")
        await wait_until(lambda: "Paris." in shown(pilot), "the answer")
        assert "known." not in shown(pilot)
        await pilot.press("alt+r")
        assert "│ It is known." in shown(pilot)
        await pilot.press("alt+r")
        assert "known." not in shown(pilot)


async def test_a_thought_that_was_cut_off_is_no_answer_and_continues(run_app: RunApp) -> None:
    engine = ScriptedEngine("<think>It ", "is ", "known.</think>", "Paris.")
    engine.pause_at = 2
    async with run_app(engine) as pilot:
        await say(pilot, "Capital?")
        await wait_until(lambda: "thinking · 2 words" in shown(pilot), "the thinking")
        await pilot.press("escape")
        await wait_until(lambda: "no answer after the thought" in shown(pilot), "the note")
        assert "stopped · ^g continues" in shown(pilot)
        assert texts(pilot)[-1] == ""
        engine.pause_at, engine.script = None, ["known.</think>", "Paris."]
        await pilot.press("ctrl+g")
        await wait_until(lambda: texts(pilot)[-1:] == ["Paris."], "the answer")
        assert "▸ thought · 3 words" in shown(pilot)


async def test_a_thought_that_is_all_the_model_writes_can_be_continued(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("<think>It is known.")) as pilot:
        await say(pilot, "Capital?")
        await wait_until(lambda: "no answer after the thought · ^g" in shown(pilot), "the note")
        assert "▸ thought · 3 words" in shown(pilot)


async def test_an_answer_that_mentions_a_tag_keeps_its_beginning(run_app: RunApp) -> None:
    answer = "Put the thoughts first and then `</think>`, which ends them."
    async with run_app(ScriptedEngine(answer[:37], answer[37:])) as pilot:
        await say(pilot, "How?")
        await wait_until(lambda: texts(pilot)[-1:] == [answer], "all of it")
        assert "thought ·" not in shown(pilot)


async def test_reasoning_is_open_if_set(run_app: RunApp) -> None:
    settings = Settings(look=LookSettings(reasoning="open"))
    engine = ScriptedEngine("<think>It is known.</think>Paris.")
    async with run_app(engine, settings=settings) as pilot:
        await say(pilot, "Capital?")
        await wait_until(lambda: "│ It is known." in shown(pilot), "the thought")


async def test_a_mark_shows_that_text_was_added_below(run_app: RunApp) -> None:
    engine = ScriptedEngine("line\n\n" * 60, "end")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        more = screen(pilot).query_one("#more", Static)
        await say(pilot, "Count")
        await wait_until(lambda: "line" in shown(pilot), "half the answer")
        assert not more.display
        await pilot.press("pageup")
        await wait_until(lambda: more.display, "the mark")
        await pilot.click("#more")
        await wait_until(lambda: not more.display, "its end")
        engine.go_on.set()
        await wait_until(lambda: "end" in shown(pilot), "the answer")


async def test_a_resize_while_it_streams(run_app: RunApp) -> None:
    engine = ScriptedEngine(*(f"word{number} " for number in range(60)))
    engine.pause_at = 30
    async with run_app(engine) as pilot:
        await say(pilot, "Count")
        await wait_until(lambda: "word29" in shown(pilot), "half the answer")
        for size in ((50, 20), (130, 40), (80, 24)):
            await pilot.resize_terminal(*size)
            await wait_until(lambda s=size: pilot.app.size.width == s[0], "the resize")
            assert "word29" in shown(pilot)
        engine.go_on.set()
        await wait_until(lambda: "word59" in shown(pilot), "the answer")


async def test_stopping_an_answer_that_waits_for_another(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await pilot.press("ctrl+n")
        await say(pilot, "second")
        await wait_until(lambda: texts(pilot) == ["second"], "the other question")
        await pilot.press("escape")
        await wait_until(lambda: "stopped before it began" in status(pilot), "the stop")
        engine.go_on.set()
        await wait_until(lambda: not client(pilot).state.chat.busy, "the first answer")
        await pilot.press("ctrl+g")
        await wait_until(lambda: texts(pilot) == ["second", "One two."], "its answer")


async def test_an_answer_says_what_it_waits_for(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await pilot.press("ctrl+n")
        await say(pilot, "second")
        await wait_until(lambda: status(pilot) == "waiting for the answer in “first”", "the wait")
        await pilot.press("ctrl+n")
        await say(pilot, "third")
        await wait_until(lambda: status(pilot) == "waiting for the answer in “first”", "the wait")
        engine.go_on.set()
        engine.go_on = asyncio.Event()
        await wait_until(lambda: status(pilot) == "waiting for the answer in “second”", "the next")
        await pilot.press("ctrl+b", "down", "enter")
        await wait_until(lambda: texts(pilot)[:1] == ["second"], "the other conversation")
        await wait_until(lambda: status(pilot).startswith(ANSWERING), "its answer")
        await pilot.press("ctrl+b", "up", "enter")
        await wait_until(lambda: status(pilot) == "waiting for the answer in “second”", "the wait")
        engine.go_on.set()
        await wait_until(lambda: texts(pilot) == ["third", "One two."], "the last answer")


async def test_an_answer_waits_for_a_model_that_is_loaded(run_app: RunApp) -> None:
    engine = ScriptedEngine("One.")
    async with run_app(engine) as pilot:
        engine.loaded_to = 0.5
        loading = client(pilot).state.chat.use_model(model(name="other"))
        task = asyncio.create_task(loading)
        await engine.paused.wait()
        await say(pilot, "Hi")
        await wait_until(lambda: status(pilot) == "waiting until other is loaded", "the wait")
        engine.go_on.set()
        await task
        await wait_until(lambda: texts(pilot) == ["Hi", "One."], "the answer")


async def test_two_conversations_answer_one_after_the_other(run_app: RunApp) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "first", "One ")
        await pilot.press("ctrl+n")
        await say(pilot, "second")
        await wait_until(lambda: texts(pilot) == ["second"], "the other question")
        assert len(engine.requests) == 1
        engine.go_on.set()
        await wait_until(lambda: texts(pilot) == ["second", "One two."], "the second answer")


@pytest.mark.parametrize(("threads", "seldom"), [(2, True), (1, False)])
async def test_an_answer_is_drawn_less_often_while_every_core_computes(
    threads: int, seldom: bool, run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_tui.app.conversation.drawing_rate.usable_cpus", lambda: 2)
    engine = ScriptedEngine("One ", "two.")
    engine.threads = ThreadsChosen(0, threads, 2, lowered=False)
    engine.pause_at = 1
    async with run_app(engine) as pilot:
        await ask_and_pause(pilot, "Count", "One ")
        rate = 5 if seldom else 10
        await wait_until(lambda: screen(pilot).answers.drawing_rate.per_second == rate, "the rate")
        engine.go_on.set()
        await wait_until(lambda: texts(pilot)[1:] == ["One two."], "all of it")


async def test_a_full_context_stops_the_conversation_if_set(run_app: RunApp) -> None:
    engine = ScriptedEngine("yes", n_ctx=60)
    chat = ChatSettings(system="", moderation=False, max_tokens=8, overflow="stop")
    async with run_app(engine, settings=Settings(chat=chat)) as pilot:
        await say(pilot, "one " + "word " * 30)
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        await say(pilot, "two " + "word " * 30)
        await wait_until(lambda: "the context is full" in status(pilot), "the reason")
        assert len(engine.requests) == 2
        assert not any("no longer sees" in note for note in transcript(pilot).notes)


async def test_a_pinned_turn_stays_when_older_ones_are_dropped(run_app: RunApp) -> None:
    engine = ScriptedEngine("yes", n_ctx=120)
    chat = ChatSettings(system="", moderation=False, max_tokens=8)
    async with run_app(engine, settings=Settings(chat=chat)) as pilot:
        for number in range(4):
            await say(pilot, f"turn{number} " + "word " * 20)
            await wait_until(lambda n=number: len(texts(pilot)) == 2 * n + 2, "the answer")
            if number == 1:
                await pilot.press("alt+up", "alt+up", "alt+p", "escape")
                await wait_until(lambda: "pinned" in shown(pilot), "the pin")
        await say(pilot, "now " + "word " * 40)
        await wait_until(lambda: len(texts(pilot)) == 10, "the answer")
        prompt = engine.requests[-1].prompt.messages
        begins = [message.content.split()[0] for message in prompt if message.role == "user"]
        assert begins[0] == "turn1"
        assert "turn0" not in begins
        assert any("sees only pinned" in note for note in transcript(pilot).notes)


async def test_questions_have_a_bar_and_answers_have_none(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine("One.")) as pilot:
        await say(pilot, "Hi")
        await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
        assert "▌ Hi" in shown(pilot)
        assert "\n  One." in shown(pilot)
