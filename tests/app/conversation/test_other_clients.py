"""What another client writes to the open conversation: it appears, and disturbs nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from baize_tui.store.records import AnswerContent, Message
from tests.app.pilot import RunApp, ask, screen, shown, status, texts, titles, transcript
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


@pytest.fixture
def other(paths: Paths) -> Iterator[Store]:
    """The store of another client."""
    store = Store(paths.conversations_file)
    yield store
    store.close()


def begin(store: Store, turns: int = 1) -> str:
    """A conversation with ``turns`` questions and answers; its id."""
    conversation = store.new_conversation(system="", moderation=False, title="Shared")
    for number in range(turns):
        add_turn(store, conversation.id, f"question {number}", f"answer {number}")
    return conversation.id


def add_turn(store: Store, id: str, question: str, answer: str) -> Message:
    asked = store.add_message(id, store.conversation(id).leaf_id, "user", question)
    return store.add_message(id, asked.id, "assistant", answer)


async def test_its_turns_appear_below(run_app: RunApp, other: Store) -> None:
    id = begin(other)
    async with run_app(ScriptedEngine("Mine."), open_session=id) as pilot:
        await pilot.press(*"a draft")
        add_turn(other, id, "theirs", "And its answer.")
        await wait_until(lambda: texts(pilot)[2:] == ["theirs", "And its answer."], "the turn")
        assert "And its answer." in shown(pilot)
        assert screen(pilot).prompt.text == "a draft"
        await pilot.press(*["backspace"] * len("a draft"))
        await ask(pilot, "mine", "Mine.")
        assert texts(pilot)[2:] == ["theirs", "And its answer.", "mine", "Mine."]


async def test_they_appear_though_the_list_was_read_again(run_app: RunApp, other: Store) -> None:
    id = begin(other)
    async with run_app(ScriptedEngine(), open_session=id) as pilot:
        add_turn(other, id, "theirs", "And its answer.")
        await pilot.press("x")  # the list shows that there is a draft
        await wait_until(lambda: texts(pilot)[2:] == ["theirs", "And its answer."], "the turn")


async def test_a_conversation_that_it_begins_is_listed(run_app: RunApp, other: Store) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        begin(other)
        await wait_until(lambda: titles(pilot) == ["Shared"], "the conversation")


async def test_what_is_in_sight_does_not_move(run_app: RunApp, other: Store) -> None:
    id = begin(other, turns=30)
    async with run_app(ScriptedEngine(), open_session=id) as pilot:
        await pilot.press("pageup")
        before = shown(pilot)
        add_turn(other, id, "theirs", "And its answer.")
        await wait_until(lambda: texts(pilot)[-1:] == ["And its answer."], "the turn")
        await wait_until(lambda: screen(pilot).query_one("#more").display, "the mark below")
        await pilot.pause()
        assert before.startswith(shown(pilot))  # the mark takes the last line
        await pilot.press("alt+end")
        assert "And its answer." in shown(pilot)
        assert not screen(pilot).query_one("#more").display


async def test_its_answer_grows(run_app: RunApp, other: Store) -> None:
    id = begin(other)
    async with run_app(ScriptedEngine(), open_session=id) as pilot:
        asked = other.add_message(id, other.conversation(id).leaf_id, "user", "theirs")
        growing = other.add_message(id, asked.id, "assistant", "", state="streaming")
        for text in ("One ", "One two "):
            other.answers.journal(AnswerContent(growing.id, text, "", [], None))
            await wait_until(lambda text=text: texts(pilot)[-1] == text, "the text so far")
        content = AnswerContent(growing.id, "One two three.", "", [], None)
        other.answers.finish(content, "complete", None)
        await wait_until(lambda: texts(pilot)[-1:] == ["One two three."], "all of it")
        assert not transcript(pilot).turns[-1].growing


async def test_an_answer_that_it_did_not_finish_is_interrupted(
    run_app: RunApp, other: Store, paths: Paths
) -> None:
    id = begin(other)
    async with run_app(ScriptedEngine(), open_session=id) as pilot:
        killed = Store(paths.conversations_file)
        asked = killed.add_message(id, other.conversation(id).leaf_id, "user", "theirs")
        growing = killed.add_message(id, asked.id, "assistant", "", state="streaming")
        killed.answers.journal(AnswerContent(growing.id, "One ", "", [], None))
        await wait_until(lambda: texts(pilot)[-1:] == ["One "], "the text so far")
        killed.close()
        await wait_until(lambda: "interrupted · ^g continues" in shown(pilot), "the end")


async def test_another_branch_takes_the_place_of_this_one(run_app: RunApp, other: Store) -> None:
    id = begin(other, turns=3)
    async with run_app(ScriptedEngine(), open_session=id) as pilot:
        question = other.shown_messages(id)[4]
        other.add_message(id, question.id, "assistant", "another answer")
        await wait_until(lambda: texts(pilot)[-1:] == ["another answer"], "the branch")
        await wait_until(lambda: "‹ 2/2 ›" in shown(pilot), "the place among its siblings")
        assert texts(pilot)[:5] == [m.text for m in other.shown_messages(id)][:5]


async def test_a_question_right_after_its_turn_comes_below_it(
    run_app: RunApp, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_tui.app.conversation.list_updates.WATCH_EVERY_S", 3600)
    id = begin(other)
    async with run_app(ScriptedEngine("Mine."), open_session=id) as pilot:
        add_turn(other, id, "theirs", "And its answer.")
        await pilot.press(*"mine", "enter")
        wanted = ["theirs", "And its answer.", "mine", "Mine."]
        await wait_until(lambda: texts(pilot)[2:] == wanted, "all turns in their order")


async def test_its_options_are_shown(run_app: RunApp, other: Store) -> None:
    id = begin(other)
    async with run_app(ScriptedEngine(), open_session=id) as pilot:
        await wait_until(lambda: "not moderated" in status(pilot), "the status")
        other.set_options(replace(other.conversation(id), system="Be brief.", moderation=True))
        await wait_until(lambda: "Be brief." in shown(pilot), "the system prompt")
        await wait_until(lambda: "not moderated" not in status(pilot), "the moderation")
