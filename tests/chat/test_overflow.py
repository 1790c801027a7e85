"""A context that is full: turns are dropped or summarized, also ahead, and nothing is hidden."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_tui.chat.answer_options import AnswerOptions
from baize_tui.chat.chat import Chat
from baize_tui.chat.events import (
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    ChatEvent,
    Summarizing,
    TurnsDropped,
)
from baize_tui.chat.formats import SUMMARY_LABEL
from baize_tui.chat.store_thread import StoreThread
from baize_tui.chat.summaries import split_to_fit
from baize_tui.engine.client import EngineFailure, Generation
from baize_tui.engine.protocol import Generate, Prompt, Warm, Warmed
from baize_tui.paths import Paths
from baize_tui.settings import ChatSettings, ModelSettings, Overflow, Settings
from baize_tui.store.conversations import Store
from baize_tui.store.records import Message
from tests.chat.scripted_engine import SUMMARY, ScriptedCatalog, WritingEngine, model
from tests.conftest import wait_until

N_CTX = 400


class Talk(NamedTuple):
    chat: Chat
    store: Store
    engine: WritingEngine
    conversation: str

    async def ask(self, text: str) -> list[ChatEvent]:
        options = AnswerOptions(max_tokens=40)
        return [event async for event in self.chat.ask(self.conversation, text, options)]

    async def fill(self, words: int = 60) -> list[ChatEvent]:
        """Ask until turns leave the context; the events of that question."""
        for number in range(20):
            events = await self.ask(f"question{number} " + "word " * words)
            if any(isinstance(event, TurnsDropped) for event in events):
                return events
        raise AssertionError("the context never became full")

    async def prepare(self, draft: str = "") -> None:
        stored = await self.chat.conversations.get(self.conversation)
        await self.chat.prepare(stored, stored.leaf_id, draft)

    @property
    def system(self) -> str:
        """The system text of the last answer."""
        return self.engine.requests[-1].prompt.messages[0].content

    @property
    def seen(self) -> list[str]:
        """The first words of the questions that the model saw for the last answer."""
        return first_words(self.engine.requests[-1].prompt)

    @property
    def path(self) -> list[Message]:
        return self.store.shown_messages(self.conversation)


def first_words(prompt: Prompt) -> list[str]:
    turns = [message for message in prompt.messages if message.role == "user"]
    return [turn.content.split()[0] for turn in turns if turn.content.strip()]


def only(events: list[ChatEvent]) -> TurnsDropped:
    (cut,) = [event for event in events if isinstance(event, TurnsDropped)]
    return cut


MakeTalk = Callable[..., Talk]


@pytest.fixture
async def make_talk(paths: Paths, tmp_path: Path) -> AsyncIterator[MakeTalk]:
    made: list[Chat] = []
    store = Store(paths.conversations_file)
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")

    def make(
        engine: WritingEngine | None = None,
        overflow: Overflow = "summarize",
        *,
        saves_states: bool = True,
    ) -> Talk:
        engine = engine or WritingEngine(n_ctx=N_CTX)
        settings = Settings(
            model=ModelSettings(snapshot_gib=1.0 if saves_states else 0.0),
            chat=ChatSettings(
                system="Be brief.", moderation=False, max_tokens=40, overflow=overflow
            ),
        )
        catalog = ScriptedCatalog(lambda name: model(str(file), name or "scripted"))
        chat = Chat(StoreThread(store), engine, settings, paths.cache, catalog)
        made.append(chat)
        return Talk(chat, store, engine, "")

    yield make
    for chat in made:
        await chat.close()


async def begun(talk: Talk) -> Talk:
    """The same with its model loaded and a conversation."""
    await talk.chat.use_model(talk.chat.catalog.find_model(None))
    conversation = await talk.chat.new_conversation()
    return talk._replace(conversation=conversation.id)


# --- summaries ------------------------------------------------------------------------------------


async def test_a_summary_takes_the_place_of_the_oldest_turns(make_talk: MakeTalk) -> None:
    talk = await begun(make_talk())
    events = await talk.fill()
    cut = only(events)
    assert (cut.first_kept.summary, cut.summarized) == (SUMMARY, True)
    assert not cut.why_no_summary
    assert any(isinstance(event, Summarizing) for event in events)
    assert isinstance(events[-1], AnswerFinished)
    assert talk.system == f"Be brief.\n\n{SUMMARY_LABEL}\n{SUMMARY}"
    assert talk.seen[0] != "question0"
    # What was summarized is what left, and nothing else.
    (read,) = talk.engine.read_for_summaries
    dropped = [text for text in (f"question{i}" for i in range(20)) if text in read]
    assert [*dropped, *talk.seen] == [m.text.split()[0] for m in talk.path if m.role == "user"]
    assert talk.engine.tokens_of(talk.engine.requests[-1].prompt) + 40 <= N_CTX
    answer = talk.path[-1]
    assert answer.provenance is not None
    assert answer.provenance["summary"] == SUMMARY


async def test_the_next_summary_includes_the_one_before(make_talk: MakeTalk) -> None:
    talk = await begun(make_talk())
    await talk.fill()
    talk.engine.writer.script = ["They counted more words."]
    cut = only(await talk.fill())
    first, second = talk.engine.read_for_summaries
    assert "question0" in first
    assert "question0" not in second
    assert SUMMARY in second
    assert cut.first_kept.summary == "They counted more words."
    # A branch that contains only the first cut still sees the first summary.
    assert [m.summary for m in talk.path if m.summary] == [SUMMARY, "They counted more words."]


async def test_pinned_turns_stay_and_are_not_summarized(make_talk: MakeTalk) -> None:
    talk = await begun(make_talk())
    await talk.ask("pinned " + "word " * 20)
    await talk.chat.messages.pin(talk.path[-1], True)
    await talk.fill()
    assert talk.seen[0] == "pinned"
    assert SUMMARY in talk.system
    (read,) = talk.engine.read_for_summaries
    assert "pinned" not in read


async def test_turns_that_are_too_long_to_read_at_once_are_summarized_in_parts(
    make_talk: MakeTalk,
) -> None:
    talk = await begun(make_talk())
    words = [f"w{number}" for number in range(330)]
    await talk.ask(" ".join(words))
    cut = only(await talk.ask("next " + "word " * 60))
    assert cut.first_kept.summary == SUMMARY
    first, *rest = talk.engine.read_for_summaries
    assert rest
    assert all(SUMMARY in text for text in rest)
    assert SUMMARY not in first
    read = " ".join(talk.engine.read_for_summaries).split()
    assert [word for word in read if word.startswith("w") and word[1:].isdigit()] == words
    for request in talk.engine.writer.requests:
        assert talk.engine.tokens_of(request.prompt) + request.max_tokens <= N_CTX


@given(st.text(alphabet="ab \n.", max_size=2000), st.integers(70, 400))
async def test_parts_are_the_whole_text(text: str, room: int) -> None:
    async def fits(part: str) -> bool:
        return len(part) <= room

    parts = await split_to_fit(text, fits)
    assert all(len(part) <= room for part in parts)
    assert "".join(parts).rstrip() == text.rstrip()


async def test_a_summary_is_seen_by_the_branches_with_its_message(make_talk: MakeTalk) -> None:
    talk = await begun(make_talk())
    cut = only(await talk.fill(words=30))
    first = cut.first_kept
    on_branch = talk.path[-1].id
    # Another version of the first question that is left: its branch has no summary yet.
    edited = [event async for event in talk.chat.edit(first.id, "other " + "word " * 30)]
    assert isinstance(edited[-1], AnswerFinished)
    assert talk.path[-2].summary == ""
    assert SUMMARY not in talk.system
    # Back on the first branch, it is there again, and nothing is summarized a second time.
    before = len(talk.engine.writer.requests)
    talk.store.set_leaf(talk.conversation, on_branch)
    talk.store.set_context_start(talk.conversation, talk.path[2].id)
    await talk.ask("again")
    assert SUMMARY in talk.system
    assert len(talk.engine.writer.requests) == before


async def test_an_edited_summary_is_what_the_model_sees(make_talk: MakeTalk) -> None:
    talk = await begun(make_talk())
    cut = only(await talk.fill(words=30))
    await talk.chat.messages.set_summary(cut.first_kept.id, "They counted sheep.")
    await talk.ask("next")
    assert talk.system.endswith("They counted sheep.")


FAILURES: dict[str, tuple[str | EngineFailure, str]] = {
    "the model fails": (EngineFailure("the model failed"), "the model failed"),
    "nothing is written": ("", "the model wrote no summary"),
    "only blanks are written": (" \n ", "the model wrote no summary"),
    "it is longer than it may be": ("word " * 200, "there is no room for it"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_without_a_summary_turns_are_dropped_and_the_reason_is_told(
    make_talk: MakeTalk, failure: str
) -> None:
    script, why = FAILURES[failure]
    talk = await begun(make_talk(WritingEngine(script, n_ctx=N_CTX)))
    events = await talk.fill()
    cut = only(events)
    assert cut.why_no_summary == why
    assert isinstance(events[-1], AnswerFinished)
    assert SUMMARY_LABEL not in talk.system
    assert talk.seen[0] != "question0"


async def test_the_summary_before_is_kept_if_there_is_no_new_one(make_talk: MakeTalk) -> None:
    talk = await begun(make_talk())
    await talk.fill()
    talk.engine.writer.script = [""]
    cut = only(await talk.fill())
    assert cut.why_no_summary == "the model wrote no summary"
    assert cut.first_kept.summary == SUMMARY
    assert SUMMARY in talk.system


async def test_stopping_a_summary_stops_the_question_and_changes_nothing(
    make_talk: MakeTalk,
) -> None:
    talk = await begun(make_talk())
    talk.engine.writer.pause_at = 0
    events: list[ChatEvent] = []
    for number in range(20):
        options = AnswerOptions(max_tokens=40)
        text = f"question{number} " + "word " * 60
        async for event in talk.chat.ask(talk.conversation, text, options):
            events.append(event)
            if isinstance(event, Summarizing):
                talk.chat.stop(talk.conversation)
        if isinstance(events[-1], AnswerFailed):
            break
    assert isinstance(events[-1], AnswerFailed)
    assert "stopped while the oldest turns were summarized" in events[-1].why
    assert not any(isinstance(event, TurnsDropped) for event in events)
    assert talk.path[-1].role == "user"
    assert not any(message.summary for message in talk.path)
    assert talk.store.conversation(talk.conversation).context_start is None
    # The next attempt begins again, and ends.
    talk.engine.writer.pause_at = None
    again = [event async for event in talk.chat.regenerate(talk.path[-1].id)]
    assert only(again).first_kept.summary == SUMMARY


async def test_a_summary_stays_when_turns_are_only_dropped_from_then_on(
    make_talk: MakeTalk,
) -> None:
    talk = await begun(make_talk())
    await talk.fill()
    talk.chat.change_settings(
        Settings(chat=ChatSettings(system="Be brief.", moderation=False, overflow="drop"))
    )
    cut = only(await talk.fill())
    assert (cut.first_kept.summary, cut.summarized) == (SUMMARY, False)
    assert len(talk.engine.writer.requests) == 1


# --- ahead of the question ------------------------------------------------------------------------


async def nearly_full(talk: Talk, left: int) -> None:
    """Ask until about ``left`` tokens remain for the next question."""
    room = N_CTX - 40
    while (free := room - await used(talk)) > left:
        events = await talk.ask("again " + "word " * min(free - left - 2, 40))
        assert not any(isinstance(event, TurnsDropped) for event in events)


async def used(talk: Talk) -> int:
    stored = await talk.chat.conversations.get(talk.conversation)
    context = await talk.chat.count_context(stored, stored.leaf_id, "")
    return context.tokens if context is not None else 0


@pytest.mark.parametrize("overflow", ["drop", "summarize"])
async def test_a_cut_is_prepared_when_the_next_question_will_not_fit(
    make_talk: MakeTalk, overflow: Overflow
) -> None:
    talk = await begun(make_talk(overflow=overflow))
    await nearly_full(talk, left=10)
    before = await used(talk)
    await talk.prepare()
    await wait_until(lambda: len(talk.engine.warmed) == 1)
    (warmed,) = talk.engine.warmed
    written = len(talk.engine.writer.requests)
    assert written == (overflow == "summarize")
    assert talk.engine.tokens_of(warmed.prompt) < before
    # Nothing of it counts before a question is sent.
    assert await used(talk) == before
    assert talk.store.conversation(talk.conversation).context_start is None
    assert not any(message.summary for message in talk.path)
    events = await talk.ask("now " + "word " * 20)
    assert only(events).messages_dropped
    asked = talk.engine.requests[-1].prompt.messages
    assert asked[: len(warmed.prompt.messages) - 1] == warmed.prompt.messages[:-1]
    assert len(talk.engine.writer.requests) == written


async def test_the_whole_conversation_is_saved_before_a_cut_is_prepared(
    make_talk: MakeTalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = await begun(make_talk())
    await nearly_full(talk, left=10)
    done: list[str] = []
    warm, save, write = talk.engine.warm, talk.engine.save_cache, talk.engine.writer.generate

    async def note_warm(request: Warm) -> Warmed:
        done.append("read")
        return await warm(request)

    async def note_save() -> str:
        done.append("save")
        return await save()

    def note_summary(request: Generate) -> Generation:
        done.append("summarize")
        return write(request)

    monkeypatch.setattr(talk.engine, "warm", note_warm)
    monkeypatch.setattr(talk.engine, "save_cache", note_save)
    monkeypatch.setattr(talk.engine.writer, "generate", note_summary)
    await talk.prepare()
    await wait_until(lambda: len(done) == 4)
    assert done == ["save", "summarize", "read", "save"]


async def test_a_short_question_that_still_fits_is_asked_with_all_turns(
    make_talk: MakeTalk,
) -> None:
    talk = await begun(make_talk())
    await nearly_full(talk, left=10)
    await talk.prepare()
    await wait_until(lambda: talk.engine.warmed)
    events = await talk.ask("short")
    assert not any(isinstance(event, TurnsDropped) for event in events)
    assert SUMMARY_LABEL not in talk.system


async def test_a_draft_that_does_not_fit_is_read_as_it_will_be_asked(make_talk: MakeTalk) -> None:
    talk = await begun(make_talk())
    await talk.ask("again " + "word " * 200)
    draft = "long " + "word " * 190
    await talk.prepare(draft)
    await wait_until(lambda: talk.engine.warmed)
    await talk.ask(draft)
    # What follows the draft is not there yet.
    assert talk.engine.warmed[-1].prompt.messages[0] == talk.engine.requests[-1].prompt.messages[0]
    assert len(talk.engine.writer.requests) == 1


async def test_a_prepared_summary_of_other_turns_is_not_used(make_talk: MakeTalk) -> None:
    talk = await begun(make_talk())
    await nearly_full(talk, left=10)
    await talk.prepare()
    await wait_until(lambda: talk.engine.warmed)
    await talk.chat.messages.pin(talk.path[1], True)
    await talk.ask("now " + "word " * 20)
    assert len(talk.engine.writer.requests) == 2
    assert talk.path[0].text not in talk.engine.read_for_summaries[-1]


async def test_a_summary_that_was_prepared_before_an_edit_is_not_used(make_talk: MakeTalk) -> None:
    talk = await begun(make_talk())
    cut = only(await talk.fill())
    await nearly_full(talk, left=10)
    await talk.prepare()
    await wait_until(lambda: talk.engine.warmed)
    await talk.chat.messages.set_summary(cut.first_kept.id, "They counted sheep.")
    await talk.ask("now " + "word " * 20)
    assert "They counted sheep." in talk.engine.read_for_summaries[-1]


# --- shift and stop -------------------------------------------------------------------------------


async def test_the_cache_may_be_shifted_for_the_question_that_cuts(make_talk: MakeTalk) -> None:
    talk = await begun(make_talk(overflow="shift"))
    cut = only(await talk.fill())
    assert not cut.first_kept.summary
    assert [request.shift for request in talk.engine.requests[-2:]] == [False, True]
    await talk.ask("next")
    assert not talk.engine.requests[-1].shift


@pytest.mark.parametrize(
    ("overflow", "saves_states"),
    [("shift", True), ("stop", True), ("drop", False)],
    ids=["shift", "stop", "drop, but what leaves may still be needed"],
)
async def test_the_whole_conversation_is_read_where_nothing_leaves_it_ahead(
    make_talk: MakeTalk, overflow: Overflow, saves_states: bool
) -> None:
    talk = await begun(make_talk(overflow=overflow, saves_states=saves_states))
    await nearly_full(talk, left=10)
    before = await used(talk)
    await talk.prepare()
    await wait_until(lambda: talk.engine.warmed)
    assert talk.engine.tokens_of(talk.engine.warmed[0].prompt) == before


async def test_a_question_that_is_too_long_alone_is_refused(make_talk: MakeTalk) -> None:
    talk = await begun(make_talk())
    await talk.ask("short")
    events = await talk.ask("long " + "word " * 500)
    assert isinstance(events[-1], AnswerFailed)
    assert "too long" in events[-1].why
    assert not any(isinstance(event, AnswerStarted | TurnsDropped) for event in events)
    assert not talk.engine.writer.requests
