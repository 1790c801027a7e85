"""Rows that another program has written: they are read as far as they make sense, and as text."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from baize_shared.sanitizer import is_harmless
from baize_tui.store.conversations import Store
from baize_tui.store.errors import StoreError, UnknownConversation
from baize_tui.store.records import Conversation, Message, parts_text

ATTACK = "\x1b]0;title\x07\x9b31m\u202e\x00\U000e0041"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "conversations.db"


@pytest.fixture
def talk(file: Path) -> Iterator[tuple[Store, Conversation, list[Message]]]:
    store = Store(file)
    conversation = store.new_conversation(system="Be brief.", moderation=False, title="Title")
    question = store.add_message(conversation.id, None, "user", "Why?")
    answer = store.add_message(conversation.id, question.id, "assistant", "So.", ids=[1, 2])
    yield store, conversation, [question, answer]
    store.close()


Talk = tuple[Store, Conversation, list[Message]]


def change(file: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(file) as other:
        other.execute("PRAGMA ignore_check_constraints = ON")
        other.execute(statement, values)
    other.close()


def test_every_text_is_sanitized(file: Path, talk: Talk) -> None:
    store, conversation, (question, answer) = talk
    for column in ("title", "system", "model", "format", "model_sha256", "persona"):
        change(file, f"UPDATE conversation SET {column} = ?", ATTACK)
    for column in ("text", "reasoning", "summary"):
        change(file, f"UPDATE message SET {column} = ?", ATTACK)
    change(file, "UPDATE conversation SET adapters = ?", '{"\\u001b]0;x": 1.0}')
    provenance = '{"prompt_tokens": 1, "completion_tokens": 1, "model": "\\u009b31m"}'
    change(file, "UPDATE message SET provenance = ?", provenance)
    change(file, "UPDATE conversation SET stop = ?", '["\\u001b]0;x"]')
    form = '{"kind": "regex", "source": "\\u001b[1m", "name": "\\u009b2m"}'
    change(file, "UPDATE message SET form = ?", form)
    files = '[{"name": "\\u001b]0;x\\u0007", "start": 0, "end": 5, "note": "\\u009b3m"}]'
    change(file, "UPDATE message SET attachments = ?", files)
    (listed,) = store.conversations()
    shown = store.shown_messages(conversation.id)
    texts = [listed.title, listed.system, listed.model, listed.format, *listed.adapters]
    texts += [listed.persona, *listed.stop]
    texts += [text for m in shown for a in m.attachments for text in (a.name, a.note)]
    texts += [text for m in shown if m.form for text in (m.form.source, m.form.name)]
    assert shown[0].attachments
    assert shown[0].form
    texts += [text for m in shown for text in (m.text, m.reasoning, m.summary)]
    texts += [str(message.provenance) for message in shown]
    texts += [parts_text(parts) for parts in store.questions()]
    assert [message.id for message in shown] == [question.id, answer.id]
    assert all(is_harmless(char) for text in texts if text is not None for char in text)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("created_at", float("inf")),
        ("updated_at", float("-inf")),
        ("updated_at", 1e300),
        ("sampling", "not JSON"),
        ("sampling", "[" * 5000),
        ("adapters", '{"a": "much"}'),
        ("adapters", '{"a": 1e999}'),
        ("overflow", "explode"),
        ("title_source", "a robot"),
        ("stop", '{"a": 1}'),
        ("leaf_id", 999),
        ("context_start", -1),
    ],
)
def test_a_conversation_with_a_wrong_value_is_still_listed(
    file: Path, talk: Talk, column: str, value: object
) -> None:
    store, conversation, _ = talk
    change(file, f"UPDATE conversation SET {column} = ?", value)
    (listed,) = store.conversations()
    assert (listed.id, listed.title) == (conversation.id, "Title")
    assert 0 <= listed.updated_at < 253402300800
    store.shown_messages(conversation.id)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("ids", b"odd"),
        ("mark", 7),
        ("attachments", '[{"name": "a", "start": 2, "end": 999}]'),
        ("attachments", '[{"name": "a", "start": -1, "end": 1}]'),
        ("form", '{"kind": "poem"}'),
        ("provenance", "{"),
        ("provenance", "[]"),
        ("provenance", '{"prompt_tokens": "many"}'),
        ("created_at", float("inf")),
    ],
)
def test_a_message_with_a_wrong_value_is_still_shown(
    file: Path, talk: Talk, column: str, value: object
) -> None:
    store, conversation, _ = talk
    change(file, f"UPDATE message SET {column} = ?", value)
    shown = store.shown_messages(conversation.id)
    assert [message.text for message in shown] == ["Why?", "So."]
    assert shown[1].tokens_used is None
    # Without any, it would be an answer that the person wrote.
    assert (shown[1].provenance is not None) == (column == "provenance")


def test_bytes_that_are_not_utf8_become_replacement_characters(file: Path, talk: Talk) -> None:
    store, conversation, _ = talk
    change(file, "UPDATE conversation SET title = CAST(x'61ff62' AS TEXT)")
    assert store.conversation(conversation.id).title == "a\N{REPLACEMENT CHARACTER}b"


def test_messages_in_a_circle_end(file: Path, talk: Talk) -> None:
    store, _, (question, answer) = talk
    change(file, "UPDATE message SET parent_id = ? WHERE id = ?", answer.id, question.id)
    assert [message.id for message in store.path(answer.id)] == [question.id, answer.id]
    assert store.path(question.id)[0].parent_id is None
    assert store.leaf_below(question.id) == answer.id


def test_a_message_without_the_one_before_it(file: Path, talk: Talk) -> None:
    store, conversation, (question, _) = talk
    change(file, "DELETE FROM message WHERE id = ?", question.id)
    assert [message.text for message in store.shown_messages(conversation.id)] == ["So."]
    assert store.path_end(question.id, 5) == []


def test_a_writer_that_is_a_path_names_no_file(file: Path, talk: Talk, tmp_path: Path) -> None:
    store, _, (_, answer) = talk
    other = tmp_path / "other.lock"
    other.write_text("of another program")
    change(file, "UPDATE message SET state = 'streaming', writer = ?", "../other")
    store.answers.mark_interrupted()
    assert store.message(answer.id).state == "interrupted"
    assert other.exists()


def test_an_id_that_is_not_utf8_is_unknown(talk: Talk) -> None:
    store, _, _ = talk
    with pytest.raises(StoreError):
        store.conversation("\udcff")
    with pytest.raises(UnknownConversation):
        store.conversation(ATTACK)
