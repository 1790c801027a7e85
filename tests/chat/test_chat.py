"""From a question to its saved answer, with a scripted engine."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from baize_tui.chat.answer_options import AnswerOptions
from baize_tui.chat.chat import Chat
from baize_tui.chat.events import (
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    AnswerText,
    ChatEvent,
    MessageSaved,
    SavedAgain,
    SaveFailed,
    TurnsDropped,
)
from baize_tui.chat.formats import MODERATION, system_prompt
from baize_tui.chat.store_thread import StoreThread
from baize_tui.engine.client import EngineFailure, WorkerDied
from baize_tui.paths import Paths
from baize_tui.settings import Settings
from baize_tui.store.conversations import Store
from baize_tui.store.errors import StoreFull
from baize_tui.store.records import AnswerContent, Message
from tests.chat.scripted_engine import TOKENIZER, ScriptedCatalog, ScriptedEngine, model
from tests.conftest import PATIENCE_S, wait_until

E = TypeVar("E")
MakeChat = Callable[[ScriptedEngine], Awaitable[Chat]]


@pytest.fixture
def store(paths: Paths) -> Store:
    """What the chat writes to."""
    return Store(paths.conversations_file)


@pytest.fixture
async def make_chat(store: Store, paths: Paths, tmp_path: Path) -> AsyncIterator[MakeChat]:
    made: list[Chat] = []
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")

    async def make(engine: ScriptedEngine) -> Chat:
        chat = Chat(
            StoreThread(store),
            engine,
            Settings(),
            paths.cache,
            ScriptedCatalog(lambda name: model(str(file), name or "scripted")),
        )
        await chat.use_model(model(str(file)))
        made.append(chat)
        return chat

    yield make
    for chat in made:
        await chat.close()


async def collect(events: AsyncIterator[ChatEvent]) -> list[ChatEvent]:
    return [event async for event in events]


def only(events: list[ChatEvent], kind: type[E]) -> E:
    found = [event for event in events if isinstance(event, kind)]
    assert len(found) == 1, events
    return found[0]


async def test_a_question_and_its_answer_are_kept(make_chat: MakeChat, store: Store) -> None:
    chat = await make_chat(ScriptedEngine("The capital ", "is Paris."))
    conversation = await chat.new_conversation()
    events = await collect(chat.ask(conversation.id, "What is the capital\nof France?"))
    assert isinstance(events[0], MessageSaved)
    assert [event.added for event in events if isinstance(event, AnswerText)] == [
        "The capital ",
        "is Paris.",
    ]
    finished = only(events, AnswerFinished)
    assert finished.saved
    question, answer = store.shown_messages(conversation.id)
    assert (question.role, question.text) == ("user", "What is the capital\nof France?")
    assert (answer.text, answer.state, answer.ids) == ("The capital is Paris.", "complete", [0, 1])
    assert answer.tokenizer == TOKENIZER
    assert store.conversation(conversation.id).title == "What is the capital"


async def test_an_answer_records_how_it_was_made(make_chat: MakeChat, store: Store) -> None:
    chat = await make_chat(ScriptedEngine())
    conversation = await chat.new_conversation()
    await collect(chat.ask(conversation.id, "Hi"))
    answer = store.shown_messages(conversation.id)[-1]
    assert answer.provenance is not None
    wanted = {"model": "scripted", "seed": 42, "threads": 1, "format": "template"}
    assert wanted.items() <= answer.provenance.items()
    assert answer.provenance["sampling"]["temperature"] == 0.7

    def hashed() -> bool:
        made = store.message(answer.id).provenance
        return made is not None and made["model_sha256"] == hashlib.sha256(b"weights").hexdigest()

    await wait_until(hashed, "the model's hash")


async def test_the_next_turn_reuses_the_generated_ids(make_chat: MakeChat) -> None:
    engine = ScriptedEngine("Hello ", "there.")
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    await collect(chat.ask(conversation.id, "Hi"))
    await collect(chat.ask(conversation.id, "And?"))
    messages = engine.requests[-1].prompt.messages
    assert [message.role for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[2].ids == [0, 1]


async def test_with_another_vocabulary_the_text_is_used_instead_of_the_ids(
    make_chat: MakeChat, store: Store
) -> None:
    engine = ScriptedEngine()
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    question = store.add_message(conversation.id, None, "user", "Hi")
    store.add_message(conversation.id, question.id, "assistant", "Yo", ids=[7], tokenizer="another")
    await collect(chat.ask(conversation.id, "And?"))
    assert engine.requests[-1].prompt.messages[2].ids is None


async def test_regenerating_adds_a_branch_and_keeps_the_old_answer(
    make_chat: MakeChat, store: Store
) -> None:
    engine = ScriptedEngine("One.")
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    await collect(chat.ask(conversation.id, "Hi"))
    first = store.shown_messages(conversation.id)[-1]
    engine.script = ["Two."]
    await collect(chat.regenerate(first.id))
    second = store.shown_messages(conversation.id)[-1]
    assert second.text == "Two."
    assert store.siblings(second.id) == [first.id, second.id]
    assert store.message(first.id).text == "One."


async def test_editing_a_question_branches_and_answers(make_chat: MakeChat, store: Store) -> None:
    engine = ScriptedEngine("One.")
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    await collect(chat.ask(conversation.id, "Hi"))
    old = store.shown_messages(conversation.id)[0]
    await collect(chat.edit(old.id, "Hello"))
    texts = [message.text for message in store.shown_messages(conversation.id)]
    assert texts == ["Hello", "One."]
    assert store.path(old.id)[-1].text == "Hi"


async def test_an_edited_answer_is_only_saved(make_chat: MakeChat, store: Store) -> None:
    engine = ScriptedEngine("One.")
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    await collect(chat.ask(conversation.id, "Hi"))
    await collect(chat.edit(store.shown_messages(conversation.id)[-1].id, "My own words"))
    assert len(engine.requests) == 1
    answer = store.shown_messages(conversation.id)[-1]
    assert (answer.role, answer.text, answer.ids) == ("assistant", "My own words", None)


async def test_stopping_keeps_the_text_and_continuing_adds_to_it(
    make_chat: MakeChat, store: Store
) -> None:
    engine = ScriptedEngine("One ", "two ", "three.")
    engine.pause_at = 2
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    events: list[ChatEvent] = []
    async for event in chat.ask(conversation.id, "Count"):
        events.append(event)
        if isinstance(event, AnswerText) and event.text == "One two ":
            assert chat.stop(conversation.id)
    assert only(events, AnswerFinished).reason == "cancelled"
    stopped = store.shown_messages(conversation.id)[-1]
    assert (stopped.text, stopped.state) == ("One two ", "stopped")
    engine.pause_at, engine.script = None, ["three."]
    await collect(chat.continue_answer(stopped.id))
    answer = store.shown_messages(conversation.id)[-1]
    assert (answer.id, answer.text, answer.state) == (stopped.id, "One two three.", "complete")
    assert engine.requests[-1].prompt.partial is not None
    assert engine.requests[-1].prompt.partial.ids == [0, 1]


async def test_a_dead_worker_leaves_an_interrupted_answer(
    make_chat: MakeChat, store: Store
) -> None:
    engine = ScriptedEngine("One ", "two ", WorkerDied("the model process was ended by SIGKILL"))
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    events = await collect(chat.ask(conversation.id, "Count"))
    failed = only(events, AnswerFailed)
    assert "SIGKILL" in failed.why
    kept = store.shown_messages(conversation.id)[-1]
    assert (kept.text, kept.state, kept.ids) == ("One two ", "interrupted", [0, 1])
    engine.script = ["three."]
    events = await collect(chat.ask(conversation.id, "And?"))
    assert only(events, AnswerFinished)


async def test_a_caller_that_stops_iterating_leaves_a_stopped_answer(
    make_chat: MakeChat, store: Store
) -> None:
    chat = await make_chat(ScriptedEngine("One ", "two ", "three."))
    conversation = await chat.new_conversation()
    events = chat.ask(conversation.id, "Count")
    async for event in events:
        if isinstance(event, AnswerText):
            break
    await events.aclose()
    kept = store.shown_messages(conversation.id)[-1]
    assert (kept.text, kept.state) == ("One ", "stopped")
    assert not chat.busy


async def test_an_answer_is_journaled_while_it_streams(
    make_chat: MakeChat, store: Store, paths: Paths
) -> None:
    engine = ScriptedEngine("One ", "two ", "three.")
    engine.pause_at = 2
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()

    def on_disk() -> list[Message]:
        other = Store(paths.conversations_file)
        try:
            return other.shown_messages(conversation.id)
        finally:
            other.close()

    async for event in chat.ask(conversation.id, "Count"):
        if isinstance(event, AnswerText) and event.text == "One two ":
            await wait_until(
                lambda: [message.text for message in on_disk()][-1:] == ["One two "], "the journal"
            )
            streaming = on_disk()[-1]
            # Another client sees that its writer lives, and leaves it alone.
            assert (streaming.state, streaming.ids) == ("streaming", [0, 1])
            engine.go_on.set()
    assert store.shown_messages(conversation.id)[-1].state == "complete"


async def test_another_thread_saves_the_answer_while_the_event_loop_hangs(
    make_chat: MakeChat,
    store: Store,
) -> None:
    engine = ScriptedEngine("One ", "two ", "three.")
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    rescued: list[Message] = []
    async for event in chat.ask(conversation.id, "Count"):
        if isinstance(event, AnswerText) and event.text == "One two ":
            chat.rescue(PATIENCE_S)  # no journal is written meanwhile
            rescued = store.shown_messages(conversation.id)
    kept = rescued[-1]
    assert (kept.text, kept.state, kept.ids) == ("One two ", "stopped", [0, 1])
    answer = store.shown_messages(conversation.id)[-1]
    assert (answer.text, answer.state) == ("One two three.", "complete")
    chat.rescue(PATIENCE_S)
    assert store.shown_messages(conversation.id)[-1] == answer


async def test_a_continued_answer_keeps_its_text_before_more_is_generated(
    make_chat: MakeChat, store: Store
) -> None:
    engine = ScriptedEngine("One ", "two ", "three.")
    engine.pause_at = 2
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    async for event in chat.ask(conversation.id, "Count"):
        if isinstance(event, AnswerText) and event.text == "One two ":
            chat.stop(conversation.id)
    stopped = store.shown_messages(conversation.id)[-1]
    engine.pause_at = None
    async for event in chat.continue_answer(stopped.id):
        if isinstance(event, AnswerStarted):
            chat.rescue(PATIENCE_S)
            kept = store.shown_messages(conversation.id)[-1]
            assert (kept.text, kept.state, kept.ids) == ("One two ", "stopped", [0, 1])


async def test_saving_does_not_wait_for_an_engine_that_hangs(
    make_chat: MakeChat, store: Store
) -> None:
    engine = ScriptedEngine("One ", "two.")
    engine.pause_at = 1
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    events = chat.ask(conversation.id, "Count")
    async for event in events:
        if isinstance(event, AnswerText):
            break  # nobody asks for more, so the answer does not end
    await chat.save(0.0)
    kept = store.shown_messages(conversation.id)[-1]
    assert (kept.text, kept.state) == ("One ", "stopped")
    await events.aclose()


async def test_reasoning_is_kept_apart_and_not_sent_again(
    make_chat: MakeChat, store: Store
) -> None:
    engine = ScriptedEngine("<think>", "hmm ", "well</think>\n\n", "Yes.")
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    events = await collect(chat.ask(conversation.id, "Is it?"))
    deltas = [event for event in events if isinstance(event, AnswerText)]
    assert deltas[1].reasoning == "hmm"
    assert deltas[1].text == ""
    answer = store.shown_messages(conversation.id)[-1]
    assert (answer.reasoning, answer.text) == ("hmm well", "Yes.")
    await collect(chat.ask(conversation.id, "Sure?"))
    told = engine.requests[-1].prompt.messages[2]
    assert (told.content, told.reasoning) == ("Yes.", "hmm well")  # the template decides


async def test_a_regenerated_answer_has_a_thought_of_its_own(
    make_chat: MakeChat, store: Store
) -> None:
    engine = ScriptedEngine("<think>hmm</think>", "Yes.")
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    await collect(chat.ask(conversation.id, "Is it?"))
    first = store.shown_messages(conversation.id)[-1]
    engine.script = ["<think>", "well</think>", "No."]
    await collect(chat.regenerate(first.id))
    answers = [m for m in store.all_messages(conversation.id) if m.role == "assistant"]
    assert [(m.reasoning, m.text) for m in answers] == [("hmm", "Yes."), ("well", "No.")]
    asked = engine.requests[-1].prompt.messages
    assert [message.role for message in asked] == ["system", "user"]


async def test_a_stopped_thought_is_saved_as_a_thought_and_continued(
    make_chat: MakeChat, store: Store
) -> None:
    engine = ScriptedEngine("<think>One ", "two ", "three.</think>", "Four.")
    engine.pause_at = 2
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    async for event in chat.ask(conversation.id, "Count"):
        if isinstance(event, AnswerText) and event.reasoning == "One two":
            assert event.thinking
            chat.stop(conversation.id)
    stopped = store.shown_messages(conversation.id)[-1]
    assert (stopped.reasoning, stopped.text, stopped.state) == ("One two", "", "stopped")
    engine.pause_at, engine.script = None, ["three.</think>", "Four."]
    await collect(chat.continue_answer(stopped.id))
    answer = store.shown_messages(conversation.id)[-1]
    assert (answer.reasoning, answer.text) == ("One two three.", "Four.")
    partial = engine.requests[-1].prompt.partial
    assert partial is not None
    assert (partial.reasoning, partial.content) == ("One two", "")


async def test_thinking_is_chosen_by_flag_then_conversation_then_setting(
    make_chat: MakeChat,
) -> None:
    engine = ScriptedEngine("Yes.")
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()

    async def think(options: AnswerOptions) -> tuple[bool | None, int]:
        await collect(chat.ask(conversation.id, "Is it?", options))
        request = engine.requests[-1]
        return request.prompt.think, request.max_thinking_tokens

    assert await think(AnswerOptions()) == (None, 2048)
    settings = chat.settings
    chosen = msgspec.structs.replace(settings.chat, think=True, max_thinking_tokens=9)
    chat.change_settings(msgspec.structs.replace(settings, chat=chosen))
    assert await think(AnswerOptions()) == (True, 9)
    changed = msgspec.structs.replace(conversation, think=False)
    assert (await chat.conversations.set_options(changed)).think is False
    assert await think(AnswerOptions()) == (False, 9)
    assert await think(AnswerOptions(think=True, max_thinking_tokens=0)) == (True, 0)


async def test_moderation_is_in_the_system_prompt_and_can_be_switched(
    make_chat: MakeChat,
    store: Store,
) -> None:
    engine = ScriptedEngine()
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    await collect(chat.ask(conversation.id, "Hi"))
    assert MODERATION in engine.requests[-1].prompt.messages[0].content
    store.set_options(msgspec.structs.replace(conversation, moderation=False))
    await collect(chat.ask(conversation.id, "Hi"))
    assert MODERATION not in engine.requests[-1].prompt.messages[0].content


async def test_typed_control_characters_never_reach_the_store(
    make_chat: MakeChat, store: Store
) -> None:
    chat = await make_chat(ScriptedEngine())
    conversation = await chat.new_conversation()
    await collect(chat.ask(conversation.id, "a\x1b]0;x\x07b\x9b\u202e"))
    question = store.shown_messages(conversation.id)[0]
    assert question.text == "a␛]0;x␇b\ufffd\ufffd"
    assert "\x1b" not in store.conversation(conversation.id).title


# --- the context ----------------------------------------------------------------------------------


async def test_whole_oldest_turns_are_dropped_from_a_full_context(
    make_chat: MakeChat, store: Store
) -> None:
    engine = ScriptedEngine("word " * 60, n_ctx=1000)
    chat = await make_chat(engine)
    options = AnswerOptions(max_tokens=200)
    conversation = await chat.new_conversation()
    left: list[TurnsDropped] = []
    for number in range(12):
        asked = f"question{number} " + "word " * 60
        events = await collect(chat.ask(conversation.id, asked, options))
        left += [event for event in events if isinstance(event, TurnsDropped)]
        assert only(events, AnswerFinished)
    assert left
    messages = engine.requests[-1].prompt.messages
    assert messages[0].role == "system"
    assert messages[1].role == "user"
    assert engine.tokens_of(engine.requests[-1].prompt) + 200 <= 1000
    # The cut holds: the next question does not cut again at once, so its prefix can be reused.
    assert len(left) < 6
    assert store.conversation(conversation.id).context_start == left[-1].first_kept.id
    assert len(store.shown_messages(conversation.id)) == 24


async def test_a_message_too_long_for_the_context_is_kept_and_reported(
    make_chat: MakeChat, store: Store
) -> None:
    chat = await make_chat(ScriptedEngine(n_ctx=300))
    conversation = await chat.new_conversation()
    events = await collect(chat.ask(conversation.id, "word " * 500))
    failed = only(events, AnswerFailed)
    assert "too long" in failed.why
    assert "300" in failed.why
    assert len(store.shown_messages(conversation.id)[0].text.split()) == 500
    assert not any(isinstance(event, AnswerStarted) for event in events)


# --- disk -----------------------------------------------------------------------------------------


def fill_disk(store: Store) -> None:
    """Have SQLite report a full disk."""
    pages = store.database.rows("PRAGMA page_count")[0][0]
    store.database.rows(f"PRAGMA max_page_count = {pages}")


def free_disk(store: Store) -> None:
    store.database.rows("PRAGMA max_page_count = 1000000")


async def test_a_full_disk_loses_no_answer(make_chat: MakeChat, store: Store) -> None:
    engine = ScriptedEngine("One ", "x" * 200_000, " end.")
    engine.pause_at = 2
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    events: list[ChatEvent] = []
    async for event in chat.ask(conversation.id, "Count"):
        events.append(event)
        if isinstance(event, AnswerStarted):
            fill_disk(store)
        if (
            isinstance(event, AnswerText)
            and len(event.text) > 200_000
            and not engine.go_on.is_set()
        ):
            engine.go_on.set()
    finished = only(events, AnswerFinished)
    assert not finished.saved
    assert finished.message.text.endswith(" end.")
    assert chat.unsaved == 1
    assert await chat.save_pending() == 1
    free_disk(store)
    assert await chat.save_pending() == 0
    saved = store.shown_messages(conversation.id)[-1]
    assert (saved.text, saved.state) == (finished.message.text, "complete")


async def test_a_full_disk_is_reported_while_the_answer_streams_and_its_end_too(
    make_chat: MakeChat, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine("x" * 200_000, *["more "] * 200)
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    journal, failed, saved = store.answers.journal, [], []
    told: list[str] = []

    def watched(content: AnswerContent) -> None:
        try:
            journal(content)
        except StoreFull as error:
            failed.append(str(error))
            raise
        saved.append(content)

    monkeypatch.setattr(store.answers, "journal", watched)
    async for event in chat.ask(conversation.id, "Count"):
        if isinstance(event, AnswerStarted):
            fill_disk(store)
            saved.clear()
        if isinstance(event, AnswerText):
            await wait_until(lambda: saved if told else failed, "the write")
        if isinstance(event, SaveFailed):
            told.append(event.why)
            free_disk(store)
        if isinstance(event, SavedAgain):
            told.append("saved again")
    assert len(told) == 2
    assert "no space left" in told[0]
    assert told[1] == "saved again"


async def test_a_question_that_cannot_be_saved_is_not_asked(
    make_chat: MakeChat, store: Store
) -> None:
    engine = ScriptedEngine()
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    fill_disk(store)
    events = await collect(chat.ask(conversation.id, "y" * 100_000))
    assert "no space left" in only(events, AnswerFailed).why
    assert not engine.requests
    free_disk(store)


async def test_a_failure_of_the_engine_is_one_event(make_chat: MakeChat, store: Store) -> None:
    chat = await make_chat(ScriptedEngine(EngineFailure("the chat template failed", "template")))
    conversation = await chat.new_conversation()
    events = await collect(chat.ask(conversation.id, "Hi"))
    assert only(events, AnswerFailed).why == "the chat template failed"
    assert [message.role for message in store.shown_messages(conversation.id)] == ["user"]


def test_sqlite_is_new_enough() -> None:
    assert sqlite3.sqlite_version_info >= (3, 37)  # STRICT tables


async def test_the_options_of_an_answer_are_for_that_answer_alone(make_chat: MakeChat) -> None:
    engine = ScriptedEngine("Yes.")
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    options = AnswerOptions(
        sampling={"temperature": 0.25}, max_tokens=5, stop=("The end.",), grammar='root ::= "Yes."'
    )
    await collect(chat.ask(conversation.id, "Hi", options))
    await collect(chat.ask(conversation.id, "And?"))
    with_options, without = engine.requests
    assert (with_options.sampling.temperature, without.sampling.temperature) == (0.25, 0.7)
    assert (with_options.max_tokens, without.max_tokens) == (5, 1024)
    assert (with_options.stop, without.stop) == (["The end."], [])
    assert (with_options.grammar, without.grammar) == ('root ::= "Yes."', "")


async def test_the_prompt_format_named_in_a_model_file_is_used(make_chat: MakeChat) -> None:
    engine = ScriptedEngine("Hi.")
    engine.prompt_format, engine.stop = "baize", ["[|AI|]", "The end."]
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    await collect(chat.ask(conversation.id, "Hello"))
    request = engine.requests[0]
    assert request.prompt.template_name == "the prompt format baize"
    assert request.stop == ["[|Human|]", "[|AI|]", "The end."]


@pytest.mark.parametrize("trained", ["You are a river.", ""])
async def test_a_model_is_told_what_it_was_told_in_training(
    trained: str, make_chat: MakeChat
) -> None:
    engine = ScriptedEngine("Hi.")
    engine.trained_system = trained
    chat = await make_chat(engine)
    for system, told in ((None, trained), ("Mine.", "Mine.")):
        conversation = await chat.new_conversation(system=system)
        await collect(chat.ask(conversation.id, "Hello"))
        first = engine.requests[-1].prompt.messages[0]
        expected = system_prompt(told, moderation=conversation.moderation)
        assert (first.content if first.role == "system" else "") == expected


async def test_an_unknown_format_in_a_model_file_falls_back_to_its_template(
    make_chat: MakeChat,
) -> None:
    engine = ScriptedEngine("Hi.")
    engine.prompt_format = "of tomorrow"
    chat = await make_chat(engine)
    conversation = await chat.new_conversation()
    await collect(chat.ask(conversation.id, "Hello"))
    assert engine.requests[0].prompt.template is None
