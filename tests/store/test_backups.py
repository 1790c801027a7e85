"""Backups while other clients write, and what is restored from them."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from baize_shared.sanitizer import is_harmless
from baize_tui.store import backups
from baize_tui.store.backups import RESTORED_TABLES, Restored, back_up, restore
from baize_tui.store.conversations import Store
from baize_tui.store.errors import StoreError
from baize_tui.store.migrations import STEPS, VERSION
from baize_tui.store.records import Paste, Unsent


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "data" / "conversations.db")
    yield store
    store.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Store]:
    """The store of another machine."""
    store = Store(tmp_path / "other" / "conversations.db")
    yield store
    store.close()


def talk(store: Store, title: str) -> str:
    """A conversation with two answers to a question, the first of which is shown."""
    id = store.new_conversation(system="S", moderation=True, title=title).id
    question = store.add_message(id, None, "user", f"{title}?")
    one = store.add_message(id, question.id, "assistant", "1", ids=[1, 2], tokenizer="t")
    store.add_message(id, question.id, "assistant", "2")
    store.set_leaf(id, one.id)
    store.set_context_start(id, question.id)
    store.set_mark(one.id, "good")
    store.set_pinned(question.id, True)
    return id


def rows(store: Store, table: str) -> list[dict[str, object]]:
    return [dict(row) for row in store.database.rows(f"SELECT * FROM {table}")]


def test_every_table_with_words_is_restored(store: Store) -> None:
    """A new table belongs into ``backups.py``, unless it can be made from the others."""
    names = {
        str(row["name"])
        for row in store.database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    kept = {name for name in names if not name.startswith(("sqlite_", "search"))}
    assert kept == set(RESTORED_TABLES)


def test_a_backup_is_one_private_file(store: Store, tmp_path: Path) -> None:
    talk(store, "A")
    backup = tmp_path / "backup.db"
    assert back_up(store.database, backup) == backup.stat().st_size
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    with contextlib.closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT count(*) FROM message").fetchone() == (3,)
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.db", "data"]


def test_everything_is_restored_on_another_machine(
    store: Store, empty: Store, tmp_path: Path
) -> None:
    ids = [talk(store, "A"), talk(store, "B")]
    store.delete(ids[1])
    gone = store.shown_messages(ids[0])[-1]
    store.delete_message(gone.id)
    store.unsent.save(Unsent("u", "draft", ids[0], ("Half ", Paste("pasted\n" * 30))))
    store.unsent.save(Unsent("v", "draft", None, ("New",)))
    back_up(store.database, tmp_path / "backup.db")
    assert restore(empty.database, tmp_path / "backup.db") == Restored(2, 0, 0)
    for table in ("conversation", "message", "unsent_paste"):
        assert rows(empty, table) == rows(store, table)
    (draft,) = empty.unsent.take_over(ids[0])
    assert draft.parts == ("Half ", Paste("pasted\n" * 30))
    assert [unsent.parts for unsent in empty.unsent.take_over(None)] == [("New",)]


def test_restoring_adds_what_is_missing_and_changes_nothing(store: Store, tmp_path: Path) -> None:
    kept, lost = talk(store, "kept"), talk(store, "lost")
    back_up(store.database, tmp_path / "backup.db")
    before = store.trees.read(store.conversation(lost))
    with store.database.transaction() as connection:
        connection.execute("DELETE FROM message WHERE conversation_id = ?", (lost,))
        connection.execute("DELETE FROM conversation WHERE id = ?", (lost,))
    store.rename(kept, "renamed")
    store.add_message(kept, None, "user", "since then")
    mine = rows(store, "message")
    assert restore(store.database, tmp_path / "backup.db") == Restored(1, 1, 0)
    assert rows(store, "message")[: len(mine)] == mine
    assert store.conversation(kept).title == "renamed"
    assert store.trees.read(store.conversation(lost)) == before
    assert restore(store.database, tmp_path / "backup.db") == Restored(0, 2, 0)
    assert store.add_message(lost, None, "user", "on").id > mine[-1]["id"]  # type: ignore[operator]


def test_a_conversation_that_is_shorter_here_is_restored_as_a_copy_on_request(
    store: Store, tmp_path: Path
) -> None:
    id = talk(store, "A")
    early = tmp_path / "early.db"
    back_up(store.database, early)
    store.add_message(id, None, "user", "later")
    late = tmp_path / "late.db"
    back_up(store.database, late)
    other = Store(tmp_path / "other" / "conversations.db")
    restore(other.database, early)
    assert restore(other.database, late) == Restored(0, 1, 1)
    assert restore(other.database, late, copies=True) == Restored(1, 1, 1)
    original = other.conversation(id)
    (copy,) = [each for each in other.conversations() if each.id != id]
    assert (len(other.all_messages(copy.id)), len(other.all_messages(original.id))) == (4, 3)
    assert {m.conversation_id for m in other.all_messages(copy.id)} == {copy.id}
    other.close()


def test_a_backup_is_consistent_while_another_client_writes(store: Store, tmp_path: Path) -> None:
    """Each transaction adds a question and its answer: a backup never has one without the other."""
    id = store.new_conversation(system="", moderation=True).id
    ended = threading.Event()

    def write() -> None:
        with contextlib.closing(Store(tmp_path / "data" / "conversations.db")) as other:
            while not ended.is_set():
                with other.database.transaction() as connection:
                    for role in ("user", "assistant"):
                        connection.execute(
                            "INSERT INTO message (conversation_id, role, state, text, created_at) "
                            "VALUES (?, ?, 'complete', ?, 0)",
                            (id, role, "x" * 5000),
                        )

    writer = threading.Thread(target=write)
    writer.start()
    counts = []
    try:
        for number in range(10):
            backup = tmp_path / f"{number}.db"
            back_up(store.database, backup)
            with contextlib.closing(sqlite3.connect(backup)) as copy:
                assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                counts.append(copy.execute("SELECT count(*) FROM message").fetchone()[0])
    finally:
        ended.set()
        writer.join()
    assert all(count % 2 == 0 for count in counts)
    assert counts == sorted(counts)


def test_a_client_that_streams_goes_on_while_a_backup_is_restored(
    store: Store, tmp_path: Path
) -> None:
    mine = talk(store, "mine")
    streaming = store.add_message(mine, None, "assistant", "half", state="streaming")
    foreign = Store(tmp_path / "other" / "conversations.db")
    theirs = talk(foreign, "theirs")
    half = foreign.add_message(theirs, None, "assistant", "their half", state="streaming")
    back_up(foreign.database, tmp_path / "backup.db")
    foreign.close()
    with contextlib.closing(Store(tmp_path / "data" / "conversations.db")) as command:
        restore(command.database, tmp_path / "backup.db")
    assert store.message(streaming.id).state == "streaming"
    assert store.message(streaming.id).text == "half"
    states = {m.text: m.state for m in store.all_messages(theirs)}
    assert states["their half"] == "interrupted"
    assert half.state == "streaming"


@pytest.mark.parametrize("version", range(1, VERSION))
def test_a_backup_of_an_older_version_is_restored(
    version: int, store: Store, tmp_path: Path
) -> None:
    backup = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(backup)) as old:
        for step in STEPS[:version]:
            old.executescript(step)
        old.execute(
            "INSERT INTO conversation (id, title, created_at, updated_at, system, moderation) "
            "VALUES ('abc', 'Old', 1, 2, '', 1)"
        )
        old.execute(
            "INSERT INTO message (conversation_id, role, state, text, created_at) "
            "VALUES ('abc', 'user', 'complete', 'hi', 1)"
        )
        old.execute(f"PRAGMA user_version = {version}")
        old.commit()
    before = backup.read_bytes()
    assert restore(store.database, backup) == Restored(1, 0, 0)
    assert [m.text for m in store.all_messages("abc")] == ["hi"]
    assert backup.read_bytes() == before


# --- files that are no backups --------------------------------------------------------------------


def spoil(backup: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(backup)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


REFUSED: dict[str, tuple[str, ...]] = {
    "a newer version": ("PRAGMA user_version = 999",),
    "another program's tables": ("ALTER TABLE conversation RENAME COLUMN updated_at TO x",),
    "no messages": ("DROP TABLE message",),
    "a view": ("CREATE VIEW trap AS SELECT randomblob(1000000000)",),
    "a wrong role": ("UPDATE message SET role = 'root'",),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_backup_is_refused_in_one_line(name: str, store: Store, tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path / "other" / "conversations.db")) as other:
        talk(other, "A")
        back_up(other.database, tmp_path / "backup.db")
    talk(store, "mine")
    before = rows(store, "message")
    spoil(tmp_path / "backup.db", *REFUSED[name])
    with pytest.raises(StoreError) as failure:
        restore(store.database, tmp_path / "backup.db")
    assert "\n" not in str(failure.value)
    assert rows(store, "message") == before
    assert len(store.conversations()) == 1


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"SQLite format 3\0", b"SQLite format 3\0" * 999]
)
def test_other_files_are_refused_in_one_line(content: bytes, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(StoreError) as failure:
        restore(store.database, file)
    assert "\n" not in str(failure.value)
    with pytest.raises(StoreError):
        restore(store.database, tmp_path / "missing")
    with pytest.raises(StoreError):
        restore(store.database, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError):
        restore(store.database, tmp_path / "pipe")
    assert file.read_bytes() == content


def test_a_damaged_backup_adds_nothing(store: Store, tmp_path: Path) -> None:
    """Bytes are changed in many places: the backup is refused, or what it has are texts."""
    random = Random(7)
    with contextlib.closing(Store(tmp_path / "other" / "conversations.db")) as other:
        for number in range(20):
            talk(other, f"{number} " * 50)
        back_up(other.database, tmp_path / "backup.db")
    content = (tmp_path / "backup.db").read_bytes()
    for place in range(100, len(content), len(content) // 40):
        changed = bytearray(content)
        changed[place : place + 16] = random.randbytes(16)
        (tmp_path / "changed.db").write_bytes(changed)
        with contextlib.suppress(StoreError):
            restore(store.database, tmp_path / "changed.db", copies=True)
    for conversation in store.conversations():
        texts = [conversation.title, *(m.text for m in store.all_messages(conversation.id))]
        assert all(is_harmless(char) for text in texts for char in text)


def test_numbers_in_a_backup_cannot_exhaust_those_here(store: Store, tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path / "other" / "conversations.db")) as other:
        id = talk(other, "A")
        back_up(other.database, tmp_path / "backup.db")
    spoil(tmp_path / "backup.db", f"UPDATE message SET id = {2**63 - 1} WHERE text = '2'")
    restore(store.database, tmp_path / "backup.db")
    assert store.add_message(id, None, "user", "on").id < 100


def test_a_message_whose_parent_makes_a_circle_begins_a_branch(
    store: Store, tmp_path: Path
) -> None:
    with contextlib.closing(Store(tmp_path / "other" / "conversations.db")) as other:
        id = talk(other, "A")
        back_up(other.database, tmp_path / "backup.db")
    spoil(tmp_path / "backup.db", "UPDATE message SET parent_id = 3 WHERE id = 1")
    restore(store.database, tmp_path / "backup.db")
    assert [row["parent_id"] for row in rows(store, "message")] == [None, 1, 1]
    assert store.all_messages(id)[0].parent_id is None


def test_messages_without_a_conversation_are_left_out(store: Store, tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path / "other" / "conversations.db")) as other:
        talk(other, "A")
        back_up(other.database, tmp_path / "backup.db")
    spoil(tmp_path / "backup.db", "UPDATE conversation SET id = 'other'")
    assert restore(store.database, tmp_path / "backup.db") == Restored(1, 0, 0)
    assert rows(store, "message") == []


def test_a_full_disk_leaves_no_half_backup(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk(store, "A")
    target = tmp_path / "backup.db"
    target.write_bytes(b"the one before")

    def fail(target: Path) -> None:
        raise StoreError("no space left on the disk")

    monkeypatch.setattr(store.database, "copy_to", fail)
    with pytest.raises(StoreError):
        back_up(store.database, target)
    assert target.read_bytes() == b"the one before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["backup.db", "data"]


def test_a_disk_that_fails_at_the_end_of_a_backup_is_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(copy: Path) -> str:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(backups, "_complete", fail)
    target = tmp_path / "backup.db"
    with pytest.raises(StoreError, match=rf"^{target}: disk I/O error$"):
        back_up(store.database, target)
    assert not target.exists()


def test_a_backup_of_conversations_that_can_only_be_read(store: Store, tmp_path: Path) -> None:
    """Those of a read-only home are in memory."""
    talk(store, "A")
    store.close()
    memory = Store(None)
    back_up(memory.database, tmp_path / "memory.db")
    memory.close()
    shutil.copy(tmp_path / "memory.db", tmp_path / "copy.db")
    with contextlib.closing(Store(tmp_path / "other" / "conversations.db")) as other:
        assert restore(other.database, tmp_path / "copy.db") == Restored(0, 0, 0)
