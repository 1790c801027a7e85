"""Searching: what is found is what reading every message would find."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baize_tui.store.conversations import Store
from baize_tui.store.records import AnswerContent, Conversation, Message, Place, Provenance
from baize_tui.store.search_query import InvalidQuery, SearchQuery, parse_query
from baize_tui.store.words import Term, words

ALL = 10_000
Hit = tuple[str, int | None, Place]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "conversations.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    store = Store(file)
    yield store
    store.close()


def talk(store: Store, title: str = "-") -> Conversation:
    return store.new_conversation(system="", moderation=True, title=title)


def say(
    store: Store, question: str, answer: str = "", thought: str = ""
) -> tuple[Message, Message]:
    """A new conversation with a question and its answer."""
    conversation = talk(store)
    asked = store.add_message(conversation.id, None, "user", question)
    answered = store.add_message(conversation.id, asked.id, "assistant", "", state="streaming")
    finish(store, answered, answer, thought)
    return asked, answered


def finish(
    store: Store, message: Message, text: str, thought: str = "", model: str | None = None
) -> None:
    content = AnswerContent(message.id, text, thought, [], None)
    store.answers.finish(content, "complete", made_by(model) if model else None)


def made_by(model: str) -> Provenance:
    return Provenance(
        model=model,
        model_path="",
        model_bytes=0,
        model_sha256=None,
        format="",
        adapters={},
        sampling={},
        seed=0,
        threads=1,
        threads_batch=1,
        gpu_layers=0,
        prompt_tokens=0,
        reused_tokens=0,
        completion_tokens=0,
        ttft_s=0,
        prefill_s=0,
        decode_s=0,
        finish_reason="stop",
        backend="",
        baize_tui="",
    )


def hits(store: Store, query: str | SearchQuery, limit: int = ALL) -> list[Hit]:
    parsed = parse_query(query) if isinstance(query, str) else query
    found = store.searcher.search(parsed, limit)
    while found.not_indexed:  # what the client does in the background
        store.search_index.update()
        found = store.searcher.search(parsed, limit)
    return [(r.conversation_id, r.message_id, r.place) for r in found.results]


def ids(store: Store, query: str) -> list[int | None]:
    return [message for _, message, _ in hits(store, query)]


# --- words and queries ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("cafe", "A CAFÉ in Paris"),
        ("CAFÉ", "a cafe\u0301"),
        ("strasse", "Die Straße"),
        ("sort", "sorting"),  # the last word may go on
        ("quick sort", "sort it with quicksort, quick"),  # in any order
        ('"merge sort"', "a Merge-sort."),
        ('"merge so', "a merge sort"),  # the phrase is being typed
        ("白泽", "白泽是什么？"),
        ("泽", "白泽"),
        ("什么", "白泽是什么？"),
        ("ガラス", "ステンドガラスの窓"),
        ("한국", "대한민국 한국어"),
        ("한", "대한민국"),
        ("한국", "\u1112\u1161\u11ab\u1100\u116e\u11a8"),  # letters, as macOS writes names
        ("が", "か\u3099"),
        ("ไทย", "ภาษาไทย"),
        ("हिन्दी", "हिन्दी में लिखो"),
        ("سلام", "سَلَام"),
        ("node.js", "with Node.js 20"),
        ("don't", "I don't know"),
        ("snake_case", "in snake_case or not"),
        ("🎉", "done🎉!"),
        ("x86", "X86-64"),
        ("http://example.com/a", "see http://example.com/a"),
        ("std::vector", "a std::vector<int>"),
        ("note:this", "note: this"),
        ('"in:title"', "write in:title"),
    ],
)
def test_a_text_is_found_by(query: str, text: str, store: Store) -> None:
    asked, _ = say(store, text)
    assert ids(store, query) == [asked.id]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("ort", "sort"),  # words are found from their beginning on
        ("sort merge", "sorting a merge"),  # only the last word may go on
        ('"sort merge"', "merge sort"),
        ('"merge sor"', "merge sort"),
        ("s", "sorting"),  # nearly every text has a word that begins with one letter
        ("白是", "白泽是什么"),
        ("か", "が"),
        ("कि", "का"),
        ("+", "1 + 1"),
    ],
)
def test_a_text_is_not_found_by(query: str, text: str, store: Store) -> None:
    say(store, text)
    assert hits(store, query) == []


TEXT = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(
            [
                *("sort", "sorting", "SORT", "é", "e\u0301", "白", "泽", "が", "か\u3099", "한"),
                *("\u1112", "ß", "s", "🎉", " ", " ", "-", "\n", '"', "*", ":", "in:", "is:"),
                *("AND", "NEAR", "\0"),
            ]
        ),
        max_size=12,
    ).map("".join),
)


@given(TEXT)
def test_any_text_is_a_query_or_a_clear_line(text: str) -> None:
    store = Store(None)
    say(store, "sort 白泽", "が é", "thought")
    try:
        query = parse_query(text)
    except InvalidQuery as error:
        line = str(error)
    else:
        hits(store, query)
        line = ""
    store.close()
    assert "\n" not in line
    assert line.startswith(("in:", "is:", "model:", "domain:", "after:", "before:") if line else "")


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("in:body x", "in:body is none of in:title, in:question, in:answer, in:thought"),
        ("is:great", "is:great is none of is:good, is:bad"),
        (
            "after:soon",
            "after:soon is no date, such as after:2026, after:2026-01 or after:2026-01-31",
        ),
        ("before:2026-13", "before:2026-13 is no date"),
        ("after:0000", "after:0000 is no date"),
        ("model:", "model: needs a part of a model's name"),
        ("domain: x", "domain: needs a field"),
    ],
)
def test_a_wrong_filter_is_explained(query: str, line: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        parse_query(query)
    assert str(caught.value).startswith(line)


# --- the same as reading everything ---------------------------------------------------------------


def contains(text: str, term: Term) -> bool:
    """Whether ``text`` has the words of ``term`` one after the other."""
    found, size = words(text), len(term.words)
    windows = (found[at : at + size] for at in range(len(found) - size + 1))
    return any(
        window[:-1] == [*term.words[:-1]]
        and (window[-1].startswith(term.words[-1]) if term.prefix else window[-1] == term.words[-1])
        for window in windows
    )


def read_everything(store: Store, query: SearchQuery) -> set[Hit]:
    """What ``query`` should find: by looking at every message of every conversation."""
    found: set[Hit] = set()

    def fits(text: str, place: Place) -> bool:
        is_asked = not query.places or place in query.places
        return is_asked and all(contains(text, term) for term in query.terms)

    for conversation in store.conversations():
        if query.mark is None and query.terms and fits(conversation.title, "title"):
            found.add((conversation.id, None, "title"))
        tree = {m.id: m for m in store.all_messages(conversation.id)}  # not the deleted ones
        for message in tree.values():
            above, parent = True, message.parent_id
            while parent is not None and above:
                above = parent in tree
                parent = tree[parent].parent_id if above else None
            if not above or message.state == "streaming":
                continue
            if query.mark not in (None, message.mark):
                continue
            own: Place = "question" if message.role == "user" else "answer"
            if fits(message.text, own):
                found.add((conversation.id, message.id, own))
            elif message.reasoning and fits(message.reasoning, "thought"):
                found.add((conversation.id, message.id, "thought"))
    return found


QUERY = st.one_of(
    TEXT,
    st.sampled_from(
        ["sort", "白泽", '"sort 白"', "in:thought sort", "is:good", "in:title,answer é"]
    ),
)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("ask", "answer", "stream", "finish", "resume", "mark", "delete", "undelete"),
                *("rename", "new", "delete conversation", "undelete conversation", "search"),
            ]
        ),
        st.integers(0, 30),
        TEXT,
    ),
    max_size=25,
)


class Changes:
    """Does what people do with conversations; the numbers choose among what there is."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.conversations = [talk(store, "sort")]
        self.messages: list[Message] = []

    def make(self, change: str, number: int, text: str) -> None:
        store = self._store
        conversation = self.conversations[number % len(self.conversations)]
        message = self.messages[number % len(self.messages)] if self.messages else None
        match change:
            case "new":
                self.conversations.append(talk(store, text))
            case "rename":
                store.rename(conversation.id, text)
            case "delete conversation":
                store.delete(conversation.id)
            case "undelete conversation":
                store.undelete(conversation.id)
            case "search":
                hits(store, "sort")
            case "ask":
                self._add("user", conversation, message, text)
            case "answer" | "stream":
                answer = self._add("assistant", conversation, message, "", streams=True)
                store.answers.journal(AnswerContent(answer.id, text[:3], text, [], None))
                if change == "answer":
                    finish(store, answer, text, text[::-1])
            case _ if message is not None:
                self._change(change, message, text)

    def _add(
        self,
        role: str,
        conversation: Conversation,
        parent: Message | None,
        text: str,
        streams: bool = False,
    ) -> Message:
        if parent is not None:
            conversation = self._store.conversation(parent.conversation_id)
        added = self._store.add_message(
            conversation.id,
            parent.id if parent is not None else None,
            "user" if role == "user" else "assistant",
            text,
            state="streaming" if streams else "complete",
        )
        self.messages.append(added)
        return added

    def _change(self, change: str, message: Message, text: str) -> None:
        store = self._store
        if change == "delete":
            store.delete_message(message.id)
        elif change == "undelete":
            store.undelete_message(message.id)
        elif change == "mark":
            store.set_mark(message.id, "good" if len(text) % 2 else "bad")
        elif message.role == "assistant" and change == "finish":
            finish(store, message, text)
        elif message.role == "assistant" and change == "resume":
            store.answers.resume(message.id)
            store.answers.journal(AnswerContent(message.id, text, "", [], None))


@settings(max_examples=150, deadline=None)
@given(CHANGES, st.lists(QUERY, min_size=1, max_size=4))
def test_what_is_found_is_what_reading_everything_finds(
    changes: list[tuple[str, int, str]], queries: list[str]
) -> None:
    store = Store(None)
    made = Changes(store)
    for change in changes:
        made.make(*change)
    for text in queries:
        try:
            query = parse_query(text)
        except InvalidQuery:
            continue
        found = hits(store, query, limit=ALL)
        assert len(found) == len(set(found))
        if not query.is_empty:
            assert set(found) == read_everything(store, query)
    store.close()


# --- filters, order and limits --------------------------------------------------------------------


def test_answers_are_found_by_their_model(store: Store) -> None:
    _, one = say(store, "plum", "plum")
    _, other = say(store, "plum", "plum")
    finish(store, one, "plum", model="llama-3.2-3b")
    finish(store, other, "plum", model="smollm2-135m")
    assert ids(store, "plum model:llama") == [one.id]
    assert ids(store, "model:SmolLM2-135") == [other.id]
    assert ids(store, 'model:"llama 3" plum') == [one.id]
    assert ids(store, "model:lama") == []


def test_messages_are_found_by_their_date(store: Store) -> None:
    numbers = {}
    for year, month, day in (
        (2023, 12, 31),
        (2024, 1, 1),
        (2024, 1, 31),
        (2024, 2, 1),
        (2025, 6, 1),
    ):
        asked, _ = say(store, "plum")
        when = datetime.datetime(year, month, day, 0, 30).timestamp()  # in the time of this machine
        with store.database.transaction() as connection:
            connection.execute("UPDATE message SET created_at = ? WHERE id = ?", (when, asked.id))
        numbers[f"{year}-{month:02}-{day:02}"] = asked.id

    def days(query: str) -> list[str]:
        found = ids(store, f"plum in:question {query}")
        return [day for day, number in numbers.items() if number in found]

    assert days("after:2024-01 before:2024-02") == ["2024-01-01", "2024-01-31"]
    assert days("before:2024") == ["2023-12-31"]
    assert days("after:2024-02") == ["2024-02-01", "2025-06-01"]
    assert days("after:2024-1-31 before:2024-02-01") == ["2024-01-31"]
    assert days("after:2025-07") == []


def test_conversations_of_a_domain_are_found(store: Store) -> None:
    asked, _ = say(store, "plum")
    store.new_conversation(system="", moderation=True, title="plum", model="healer")
    adapted = store.new_conversation(
        system="", moderation=True, title="-", model="x", adapters={"doctor": 0.5, "nurse": 0}
    )
    message = store.add_message(adapted.id, None, "user", "plum")

    def found(*names: str) -> list[int | None]:
        results = store.searcher.search(parse_query("domain:health plum"), ALL, {*names}).results
        return [result.message_id for result in results]

    assert found("healer", "doctor") == [None, message.id]
    assert found("nurse") == found() == []
    assert asked.id in ids(store, "plum")
    for _ in range(60):  # too many to look at each of them
        store.new_conversation(system="", moderation=True, title="-", model="healer")
    assert found("healer", "doctor") == [None, message.id]


def test_titles_then_whole_words_then_beginnings_each_from_the_latest(store: Store) -> None:
    old, _ = say(store, "sort")
    longer, _ = say(store, "sorting")
    new, _ = say(store, "Sort!")
    titled = talk(store, "How to sort")
    found = [(talk, message) for talk, message, _ in hits(store, "sort")]
    assert found == [
        (titled.id, None),
        (new.conversation_id, new.id),
        (old.conversation_id, old.id),
        (longer.conversation_id, longer.id),
    ]


def test_many_titles_leave_room_for_messages(store: Store) -> None:
    for _ in range(20):
        talk(store, "sort")
    asked, _ = say(store, "sort")
    found = store.searcher.search(parse_query("sort"), 12)
    assert [result.place for result in found.results] == ["title"] * 3 + ["question"]
    only_titles = store.searcher.search(parse_query("sort in:title"), 12)
    assert len(only_titles.results) == 12
    assert only_titles.is_cut
    assert asked.id in ids(store, "sort")


def test_more_than_a_batch_is_found_below_deleted_messages(store: Store) -> None:
    conversation = talk(store)
    kept = [store.add_message(conversation.id, None, "user", "plum").id for _ in range(5)]
    top = store.add_message(conversation.id, None, "user", "top")
    last = top.id
    for _ in range(250):
        last = store.add_message(conversation.id, last, "user", "plum").id
    store.delete_message(top.id)
    assert ids(store, "plum") == kept[::-1]


@pytest.mark.parametrize("length", [10, 1000, 100_000])
def test_an_excerpt_is_one_line_around_the_match(length: int, store: Store) -> None:
    say(store, "filler\nwords\t" * length + "a Quince\x1b[2J tree " + "and more " * length)
    (result,) = store.searcher.search(parse_query("quince"), 5).results
    ((start, end),) = result.matches
    assert result.excerpt[start:end] == "Quince"
    assert "\n" not in result.excerpt
    assert "\x1b" not in result.excerpt
    assert len(result.excerpt) < 300
