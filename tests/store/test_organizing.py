"""Tags, pins, the archive and the trash, and what is removed for good."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_tui.store.backups import Restored, back_up, restore
from baize_tui.store.conversations import Store
from baize_tui.store.errors import UnknownConversation
from baize_tui.store.migrations import STEPS
from baize_tui.store.records import AnswerContent, Paste, Unsent
from baize_tui.store.search_query import InvalidQuery, parse_query
from baize_tui.store.tags import clean_tags, split_tags


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    store = Store(file)
    yield store
    store.close()


def talk(store: Store, title: str, *texts: str) -> str:
    """A conversation with questions and answers in turn."""
    id = store.new_conversation(system="", moderation=True, title=title).id
    parent = None
    for place, text in enumerate(texts):
        role = "assistant" if place % 2 else "user"
        parent = store.add_message(id, parent, role, text).id  # type: ignore[arg-type]
    return id


def titles(store: Store, limit: int | None = None) -> list[str]:
    return [listed.title for listed in store.listing.listed(limit)]


def found(store: Store, query: str) -> list[tuple[str, str, bool]]:
    results = store.searcher.search(parse_query(query), 100).results
    return [(result.title, result.place, result.archived) for result in results]


def test_a_file_of_the_version_before_is_migrated(file: Path) -> None:
    before = next(number for number, step in enumerate(STEPS) if "COLUMN tags" in step)
    file.parent.mkdir()
    with contextlib.closing(sqlite3.connect(file)) as old:
        for step in STEPS[:before]:
            old.executescript(step)
        old.execute(
            "INSERT INTO conversation (id, title, created_at, updated_at, leaf_id, system, "
            "moderation) VALUES ('abc', 'Old', 1, 1, 1, '', 1)"
        )
        old.execute(
            "INSERT INTO message (conversation_id, role, state, text, created_at) "
            "VALUES ('abc', 'user', 'complete', 'Hi', 1)"
        )
        old.execute(f"PRAGMA user_version = {before}")
        old.commit()
    with contextlib.closing(Store(file)) as store:
        conversation = store.conversation("abc")
        assert (conversation.tags, conversation.pinned, conversation.archived) == ([], False, False)
        (message,) = store.shown_messages("abc")
        assert message.name == ""
        assert titles(store) == ["Old"]
        assert store.organizer.change_tags("abc", ["work"]) == ["work"]
        store.set_branch_name(message.id, "greeting")
        assert store.message(message.id).name == "greeting"


# --- tags -----------------------------------------------------------------------------------------


def test_tags_are_words_and_their_case_does_not_count(store: Store) -> None:
    id = talk(store, "A")
    typed = ["Work", "#perl", "machine learning", "WORK", " ", 'a,"b"']
    added = store.organizer.change_tags(id, typed)
    assert added == ["Work", "perl", "machine-learning", "a-b"]
    assert store.organizer.change_tags(id, ["more"], ["work", "unknown"]) == [*added[1:], "more"]
    assert store.conversation(id).tags == [*added[1:], "more"]
    with pytest.raises(UnknownConversation):
        store.organizer.change_tags("nobody", ["x"])


@given(st.lists(st.text(max_size=50), max_size=5))
def test_tags_are_read_as_they_are_written(texts: list[str]) -> None:
    tags = clean_tags(texts)
    assert clean_tags(tags) == tags == split_tags(" ".join(tags))
    for tag in tags:
        assert parse_query(f"tag:{tag}").tags == {tag.casefold()}


def test_all_tags_are_counted(store: Store) -> None:
    ids = [talk(store, title) for title in "ABC"]
    for id in ids:
        store.organizer.change_tags(id, ["work"])
    store.organizer.change_tags(ids[0], ["Perl"])
    store.delete(ids[2])
    assert store.listing.tags() == {"Perl": 1, "work": 2}


def test_conversations_are_found_by_tag(store: Store) -> None:
    one, two = talk(store, "Plums", "sweet plums"), talk(store, "Pears", "sour plums")
    store.organizer.change_tags(one, ["fruit", "sweet"])
    store.organizer.change_tags(two, ["Fruit"])
    assert found(store, "tag:fruit plums in:question") == [
        ("Pears", "question", False),
        ("Plums", "question", False),
    ]
    assert found(store, "tag:fruit tag:SWEET plums") == [
        ("Plums", "title", False),
        ("Plums", "question", False),
    ]
    assert [hit[0] for hit in found(store, "tag:sweet")] == ["Plums", "Plums"]
    assert found(store, "tag:nothing plums") == []
    with pytest.raises(InvalidQuery, match="needs a tag"):
        parse_query("tag: plums")


# --- pins and the archive -------------------------------------------------------------------------


def test_pinned_ones_come_first_and_archived_ones_are_not_listed(store: Store) -> None:
    ids = {title: talk(store, title, "Hi") for title in "ABCD"}
    store.organizer.set_pinned(ids["A"], True)
    store.organizer.set_archived(ids["C"], True)
    assert titles(store) == ["A", "D", "B"]
    assert titles(store, 1) == ["A", "D"]
    assert [listed.title for listed in store.listing.archived()] == ["C"]
    store.add_message(ids["C"], None, "user", "again")
    assert titles(store) == ["A", "C", "D", "B"]
    store.organizer.set_pinned(ids["A"], False)
    assert titles(store) == ["C", "D", "B", "A"]


def test_archived_ones_are_found_and_marked_and_deleted_ones_are_not_found(store: Store) -> None:
    ids = {title: talk(store, title, "plums") for title in ("Here", "Archived", "Deleted")}
    store.organizer.set_archived(ids["Archived"], True)
    store.delete(ids["Deleted"])
    assert found(store, "plums") == [("Archived", "question", True), ("Here", "question", False)]
    assert found(store, "is:archived plums") == [("Archived", "question", True)]
    assert found(store, "archived") == [("Archived", "title", True)]
    assert [title for title, *_ in found(store, "is:archived")] == ["Archived", "Archived"]
    assert [listed.title for listed in store.listing.deleted()] == ["Deleted"]


def test_a_backup_keeps_how_conversations_are_organized(store: Store, tmp_path: Path) -> None:
    id = talk(store, "A", "Hi")
    store.organizer.change_tags(id, ["work"])
    store.organizer.set_pinned(id, True)
    store.organizer.set_archived(id, True)
    store.set_branch_name(store.shown_messages(id)[0].id, "greeting")
    back_up(store.database, tmp_path / "backup.db")
    with contextlib.closing(Store(tmp_path / "other" / "conversations.db")) as other:
        assert restore(other.database, tmp_path / "backup.db") == Restored(1, 0, 0)
        assert other.trees.read(other.conversation(id)) == store.trees.read(store.conversation(id))
        assert other.conversation(id).tags == ["work"]


# --- removing -------------------------------------------------------------------------------------

SECRET = "quincunx"


def secret_talk(store: Store) -> str:
    """A conversation with a word everywhere."""
    id = talk(store, f"About a {SECRET}", f"a {SECRET}")
    answer = store.add_message(id, None, "assistant", "", state="streaming")
    for text in (f"The {SECRET}", f"The {SECRET} is five points. " + f"{SECRET} " * 2000):
        store.answers.journal(AnswerContent(answer.id, text, f"{SECRET}?", [], None))
    store.answers.finish(
        AnswerContent(answer.id, f"Five {SECRET}", f"{SECRET}!", [], None), "complete", None
    )
    store.set_summary(answer.id, f"{SECRET} again")
    store.set_branch_name(answer.id, SECRET)
    store.organizer.change_tags(id, [SECRET])
    store.unsent.save(Unsent("u", "draft", id, (SECRET, Paste(f"{SECRET}\n" * 30))))
    return id


def files_with_secret(folder: Path) -> list[str]:
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]


@pytest.mark.parametrize("indexed", [True, False])
def test_no_file_has_a_word_of_what_was_purged(store: Store, file: Path, indexed: bool) -> None:
    kept = talk(store, "Kept", "plums and pears", "apples") if indexed else talk(store, "Kept")
    id = secret_talk(store)
    if indexed:
        store.search_index.update()
        assert found(store, SECRET)
    assert store.organizer.purge([id, kept, "nobody"]) == []  # none is in the trash
    store.delete(id)
    assert files_with_secret(file.parent)
    assert store.organizer.purge([id, kept, "nobody"]) == [id]
    assert files_with_secret(file.parent) == []
    with pytest.raises(UnknownConversation):
        store.conversation(id)
    assert found(store, SECRET) == []
    assert titles(store) == ["Kept"]
    if indexed:
        assert [hit[0] for hit in found(store, "plums")] == ["Kept"]


def test_while_another_client_reads_it_is_purged_all_the_same(store: Store, file: Path) -> None:
    id = secret_talk(store)
    store.search_index.update()
    store.delete(id)
    with contextlib.closing(Store(file)) as other:
        assert other.conversation(id).id == id
        assert other.organizer.purge([id]) == [id]
        assert store.listing.deleted() == []
    assert files_with_secret(file.parent) == []


def test_many_are_purged_and_new_messages_get_new_numbers(store: Store) -> None:
    ids = [talk(store, str(number), "Hi", "Ho") for number in range(7)]
    last = max(message.id for message in store.all_messages(ids[-1]))
    for id in ids:
        store.delete(id)
    assert sorted(store.organizer.purge(ids)) == sorted(ids)
    assert store.add_message(talk(store, "New"), None, "user", "Hi").id > last
