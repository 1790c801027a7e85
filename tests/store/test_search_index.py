"""The index of words: it follows every change, whoever makes it, and costs little."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from baize_tui.store.conversations import Store
from baize_tui.store.migrations import STEPS
from baize_tui.store.records import AnswerContent
from baize_tui.store.search_index import TABLE
from baize_tui.store.search_query import parse_query
from tests.store.test_search import finish, hits, ids, say, talk
from tests.store.test_store import as_nobody


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "conversations.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    store = Store(file)
    yield store
    store.close()


def index_all(store: Store) -> int:
    """Index everything; returns in how many calls."""
    calls = 1
    while store.search_index.update():
        calls += 1
    return calls


def check_index(store: Store) -> None:
    """FTS5's own check of its tables."""
    with store.database.transaction() as connection:
        connection.execute(f"INSERT INTO {TABLE} ({TABLE}) VALUES ('integrity-check')")


def indexed(store: Store, word: str) -> list[int]:
    """The messages for which the index itself has a word."""
    rows = store.database.rows(f"SELECT rowid FROM {TABLE} WHERE {TABLE} MATCH ?", word)
    return [row[0] for row in rows]


def test_deleted_messages_and_conversations_leave_and_come_back(store: Store) -> None:
    asked, answered = say(store, "plum", "plum too")
    assert ids(store, "plum") == [answered.id, asked.id]
    store.delete_message(asked.id)  # hides the answer below it
    assert ids(store, "plum") == []
    store.undelete_message(asked.id)
    store.delete(asked.conversation_id)
    assert ids(store, "plum") == []
    store.undelete(asked.conversation_id)
    assert ids(store, "plum") == [answered.id, asked.id]


def test_an_answer_is_found_once_it_has_ended(store: Store) -> None:
    conversation = talk(store)
    answer = store.add_message(conversation.id, None, "assistant", "", state="streaming")
    for text in ("plum", "plum pear"):
        store.answers.journal(AnswerContent(answer.id, text, "", [], None))
        store.add_message(conversation.id, None, "user", "another")  # so there is work to do
        assert ids(store, "plum") == []
        assert indexed(store, "plum") == []
    finish(store, answer, "plum pear fig")
    assert ids(store, "plum fig") == [answer.id]
    store.answers.resume(answer.id)
    store.answers.journal(AnswerContent(answer.id, "plum pear fig and", "", [], None))
    assert indexed(store, "plum") == [answer.id]  # as it was before
    assert store.search_index.update() == 0
    assert indexed(store, "and") == []
    finish(store, answer, "quince")
    assert ids(store, "plum") == []
    assert ids(store, "quince") == [answer.id]
    assert indexed(store, "plum") == []
    check_index(store)


def test_a_mark_is_found_when_it_is_set_and_when_it_is_removed(store: Store) -> None:
    _, answered = say(store, "plum", "plum")
    assert ids(store, "plum is:good") == []
    store.set_mark(answered.id, "good")
    assert ids(store, "plum is:good") == ids(store, "is:good") == [answered.id]
    assert ids(store, "is:bad") == []
    store.set_mark(answered.id, None)
    assert ids(store, "is:good") == []


def test_the_answer_of_a_client_that_was_killed_is_found(file: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from baize_tui.store.conversations import Store\n"
        "from baize_tui.store.records import AnswerContent\n"
        "store = Store(Path(sys.argv[1]))\n"
        "talk = store.new_conversation(system='', moderation=True)\n"
        "answer = store.add_message(talk.id, None, 'assistant', '', state='streaming')\n"
        "store.answers.journal(AnswerContent(answer.id, 'half a plum', '', [], None))\n"
        "store.search_index.update()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(file)], check=False)
    with contextlib.closing(Store(file)) as store:
        ((_, number, place),) = hits(store, "plum")
        assert place == "answer"
        assert number is not None
        assert store.message(number).state == "interrupted"


def test_a_file_of_an_older_version_is_indexed_in_parts(file: Path) -> None:
    before = next(number for number, step in enumerate(STEPS) if "search_pending" in step)
    with contextlib.closing(sqlite3.connect(file)) as old:
        for step in STEPS[:before]:
            old.executescript(step)
        old.execute(f"PRAGMA user_version = {before}")
        old.execute(
            "INSERT INTO conversation (id, title, created_at, updated_at, system, moderation) "
            "VALUES ('c', 'Old fruit', 0, 0, '', 1)"
        )
        old.executemany(
            "INSERT INTO message (conversation_id, role, state, text, created_at) "
            "VALUES ('c', 'user', 'complete', ?, 0)",
            [(f"plum {number}",) for number in range(1, 501)],
        )
        old.commit()
    with contextlib.closing(Store(file)) as store:
        first = store.searcher.search(parse_query("plum"), 1000)
        assert [r.message_id for r in first.results] == list(range(500, 300, -1))  # the newest
        assert first.not_indexed == 300
        assert store.searcher.search(parse_query("plum"), 1000).not_indexed == 300  # no waiting
        assert index_all(store) > 1
        assert ids(store, "plum") == list(range(500, 0, -1))
        assert hits(store, "fruit") == [("c", None, "title")]


def test_two_clients_share_the_work(store: Store, file: Path) -> None:
    conversation = talk(store)
    for number in range(450):
        store.add_message(conversation.id, None, "user", f"plum {number}")
    with contextlib.closing(Store(file)) as other:
        assert other.search_index.update() == 250
        assert store.search_index.update() == 50
        assert other.search_index.update() == 0
        assert len(hits(store, "plum")) == len(hits(other, "plum")) == 450
    check_index(store)


def test_what_other_programs_change_is_found(store: Store, file: Path) -> None:
    asked, answered = say(store, "plum", "pear")
    index_all(store)
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("UPDATE message SET text = 'quince' WHERE id = ?", (asked.id,))
        other.execute("DELETE FROM message WHERE id = ?", (answered.id,))
    assert ids(store, "plum") == ids(store, "pear") == []
    assert ids(store, "quince") == [asked.id]
    check_index(store)


def test_without_fts5_every_message_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baize_tui.store.search_index._MODULE", "fts_missing")
    asked, answered = say(store, "Plum", "plums and a pear")
    store.set_mark(answered.id, "good")
    found = store.searcher.search(parse_query("plum"), 10)
    assert not found.has_index
    assert not found.not_indexed
    assert [r.message_id for r in found.results] == [asked.id, answered.id]
    assert ids(store, "is:good pear") == [answered.id]
    assert ids(store, "model:x") == []


@pytest.mark.parametrize("indexed", [True, False])
def test_a_file_that_cannot_be_written_is_searched(indexed: bool) -> None:
    with tempfile.TemporaryDirectory() as name:  # other users cannot enter pytest's own folders
        file = Path(name) / "conversations.db"
        store = Store(file)
        asked, _ = say(store, "plum", "")
        if indexed:
            index_all(store)
        store.close()
        for folder in (file.parent, file.parent / "clients"):
            folder.chmod(0o777)
        file.chmod(0o444)
        with as_nobody():
            store = Store(file)
            assert store.why_read_only
            found = store.searcher.search(parse_query("plum"), 10)
            assert [r.message_id for r in found.results] == [asked.id]
            assert not found.not_indexed
            store.close()


def test_journal_writes_change_nothing_in_the_index(store: Store) -> None:
    conversation = talk(store)
    answer = store.add_message(conversation.id, None, "assistant", "", state="streaming")
    store.search_index.update()
    statements: list[str] = []
    store.database._connection.set_trace_callback(statements.append)
    for text in ("plum", "plum pear", "plum pear fig"):
        store.answers.journal(AnswerContent(answer.id, text, "", [], None))
    store.database._connection.set_trace_callback(None)
    assert not [statement for statement in statements if TABLE in statement]
    with store.database.transaction() as connection:
        (pending,) = connection.execute("SELECT count(*), max(text) FROM search_pending")
    assert pending == (1, None)
