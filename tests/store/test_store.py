"""The conversations file."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from baize_tui.store.conversations import NEW_TITLE, Store
from baize_tui.store.errors import StoreError, StoreReadOnly, UnknownConversation
from baize_tui.store.migrations import STEPS, VERSION
from baize_tui.store.records import Conversation, TitleSource


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.db"


@pytest.fixture
def store(file: Path) -> Store:
    return Store(file)


def talk(store: Store, title: str = "A talk") -> Conversation:
    return store.new_conversation(system="S", moderation=True, title=title)


def test_messages_form_a_tree(store: Store) -> None:
    conversation = talk(store)
    question = store.add_message(conversation.id, None, "user", "Q")
    one = store.add_message(conversation.id, question.id, "assistant", "1")
    two = store.add_message(conversation.id, question.id, "assistant", "2")
    assert [m.text for m in store.shown_messages(conversation.id)] == ["Q", "2"]
    store.set_leaf(conversation.id, one.id)
    assert [m.text for m in store.shown_messages(conversation.id)] == ["Q", "1"]
    assert store.siblings(one.id) == [one.id, two.id]
    other_question = store.add_message(conversation.id, None, "user", "Q2")
    assert store.siblings(question.id) == [question.id, other_question.id]


def test_branches_are_counted_and_followed(store: Store) -> None:
    conversation = talk(store)
    question = store.add_message(conversation.id, None, "user", "Q")
    one = store.add_message(conversation.id, question.id, "assistant", "1")
    more = store.add_message(conversation.id, one.id, "user", "more")
    two = store.add_message(conversation.id, question.id, "assistant", "2")
    assert store.branches(conversation.id) == {one.id: (1, 2), two.id: (2, 2)}
    assert store.questions() == [("more",), ("Q",)]
    assert store.leaf_below(one.id) == more.id
    store.set_leaf(conversation.id, store.leaf_below(one.id))
    assert [m.text for m in store.shown_messages(conversation.id)] == ["Q", "1", "more"]


def test_a_deleted_message_comes_back_with_all_below_it(store: Store) -> None:
    conversation = talk(store)
    question = store.add_message(conversation.id, None, "user", "Q")
    one = store.add_message(conversation.id, question.id, "assistant", "1")
    store.add_message(conversation.id, one.id, "user", "more")
    store.delete_message(one.id)
    assert [m.text for m in store.shown_messages(conversation.id)] == ["Q"]
    store.undelete_message(one.id)
    assert [m.text for m in store.shown_messages(conversation.id)] == ["Q", "1", "more"]
    two = store.add_message(conversation.id, question.id, "assistant", "2")
    store.delete_message(two.id)
    assert [m.text for m in store.shown_messages(conversation.id)] == ["Q", "1", "more"]
    store.delete_message(question.id)
    assert store.shown_messages(conversation.id) == []


def test_token_ids_are_read_back_unchanged(store: Store) -> None:
    conversation = talk(store)
    message = store.add_message(
        conversation.id, None, "assistant", "x", ids=[0, 1, 128_255, 2**31 - 1], tokenizer="t"
    )
    assert store.message(message.id).ids == [0, 1, 128_255, 2**31 - 1]


def test_the_last_used_comes_first(store: Store) -> None:
    first, second = talk(store, "first"), talk(store, "second")
    assert [c.id for c in store.conversations()] == [second.id, first.id]
    store.add_message(first.id, None, "user", "again")
    assert [c.id for c in store.conversations()] == [first.id, second.id]


def test_delete_can_be_undone(store: Store) -> None:
    conversation = talk(store)
    store.add_message(conversation.id, None, "user", "kept")
    store.delete(conversation.id)
    assert store.conversations() == []
    assert [c.id for c in store.conversations(deleted=True)] == [conversation.id]
    store.undelete(conversation.id)
    assert store.shown_messages(conversation.id)[0].text == "kept"


def test_the_beginning_of_an_id_is_enough(store: Store) -> None:
    conversation = talk(store)
    assert store.conversation(conversation.id[:6]).id == conversation.id
    for unknown in ("", "zzz", "%", "_"):
        with pytest.raises(UnknownConversation):
            store.conversation(unknown)


def test_an_ambiguous_beginning_is_refused(store: Store) -> None:
    seen: dict[str, str] = {}
    while True:  # 17 ids share a first letter at the latest
        conversation = talk(store)
        if conversation.id[0] in seen:
            break
        seen[conversation.id[0]] = conversation.id
    with pytest.raises(UnknownConversation, match="more than one"):
        store.conversation(conversation.id[0])


def test_files_are_private(store: Store, file: Path) -> None:
    talk(store)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_in_memory_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(None)
    conversation = talk(store)
    store.add_message(conversation.id, None, "user", "secret")
    assert store.shown_messages(conversation.id)[0].text == "secret"
    store.close()
    assert list(tmp_path.iterdir()) == []


# --- newer, damaged and foreign files -------------------------------------------------------------


def test_a_newer_file_is_left_alone(store: Store, file: Path) -> None:
    talk(store)
    store.close()
    with sqlite3.connect(file) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(StoreError, match="newer baize-tui") as caught:
        Store(file)
    assert str(file) in str(caught.value)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"this is no database" * 100,
        lambda raw: raw[:100] + b"\xff" * 3000 + raw[3100:],
        lambda raw: raw[: len(raw) // 2],
    ],
    ids=["text", "pages", "cut"],
)
def test_a_damaged_file_is_set_aside(file: Path, damage: object) -> None:
    store = Store(file)
    conversation = talk(store)
    for _ in range(50):
        store.add_message(conversation.id, None, "user", "x" * 500)
    store.close()
    damaged = damage(file.read_bytes())  # type: ignore[operator]
    file.write_bytes(damaged)
    opened = Store(file)
    assert opened.damaged_file is not None
    assert opened.damaged_file.read_bytes() == damaged
    talk(opened)
    assert len(opened.conversations()) == 1


def test_a_file_of_another_program_is_set_aside(file: Path) -> None:
    file.parent.mkdir(parents=True)
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE conversation (something TEXT)")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.close()
    assert Store(file).damaged_file is not None


def test_a_file_whose_messages_are_computed_is_set_aside(store: Store, file: Path) -> None:
    store.close()
    endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)"
    with sqlite3.connect(file) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(message)")]
        values = ", ".join(f'n AS "{column}"' for column in columns)
        connection.execute("ALTER TABLE message RENAME TO other")
        connection.execute(f"CREATE VIEW message AS {endless} SELECT {values} FROM r")
    connection.close()
    assert Store(file).damaged_file is not None


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Run as another user: root may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_missing_permission_is_reported(file: Path) -> None:
    file.parent.mkdir(parents=True, mode=0o500)
    with as_nobody(), pytest.raises(StoreError, match="ermission denied") as caught:
        Store(file)
    assert str(file.parent) in str(caught.value)


def test_a_read_only_file_can_be_read() -> None:
    with tempfile.TemporaryDirectory() as name:  # other users cannot enter pytest's own folders
        file = Path(name) / "conversations.db"
        store = Store(file)
        conversation = talk(store)
        store.close()
        for folder in (file.parent, file.parent / "clients"):
            folder.chmod(0o777)
        file.chmod(0o444)
        with as_nobody():
            store = Store(file)
            assert store.conversation(conversation.id).title == conversation.title
            with pytest.raises(StoreReadOnly, match="Permission denied") as caught:
                store.rename(conversation.id, "another")
            assert str(file) in str(caught.value) == store.why_read_only
            store.close()
        file.chmod(0o600)
        store = Store(file)
        store.rename(conversation.id, "another")
        store.close()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_what_could_not_be_saved_at_the_start_can_be_later(
    error: int, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(file)
    first = talk(store, "before")
    store.close()

    def fail(_: Path) -> None:
        raise OSError(error, os.strerror(error), str(file))

    with monkeypatch.context() as full:
        full.setattr("baize_tui.store.database.ClientLock", fail)
        store = Store(file)
        for _ in range(2):
            with pytest.raises(StoreError, match=os.strerror(error)):
                store.rename(first.id, "after")
        assert store.why_read_only
        other = sqlite3.connect(file)
        other.execute("UPDATE conversation SET system = 'by another program'")
        other.commit()
        version = store.version()
    store.rename(first.id, "after")
    assert store.why_read_only == ""
    assert store.version() != version
    renamed = store.conversation(first.id)
    assert (renamed.title, renamed.system) == ("after", "by another program")
    store.close()


def test_a_file_in_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    blocker = tmp_path / "data"
    blocker.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=str(blocker)):
        Store(blocker / "conversations.db")


def test_an_empty_file_is_a_new_one(file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.touch()
    store = Store(file)
    assert store.damaged_file is None
    assert store.conversations() == []


# --- several clients ------------------------------------------------------------------------------


def test_two_clients_see_each_others_work(store: Store, file: Path) -> None:
    other = Store(file)
    before = other.version()
    conversation = talk(store, "by the first")
    assert other.version() != before
    assert [c.title for c in other.conversations()] == ["by the first"]
    other.add_message(conversation.id, None, "user", "by the second")
    assert [m.text for m in store.shown_messages(conversation.id)] == ["by the second"]


def test_two_clients_write_at_once(store: Store, file: Path) -> None:
    other = Store(file)
    conversation = talk(store)
    errors: list[Exception] = []

    def write(client: Store) -> None:
        try:
            for number in range(100):
                client.add_message(conversation.id, None, "user", str(number))
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(client,)) for client in (store, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    first = store.shown_messages(conversation.id)[0]
    assert len(store.siblings(first.id)) == 200


def test_two_clients_may_start_at_once(file: Path) -> None:
    found: list[object] = []

    def start() -> None:
        try:
            found.append(Store(file))
        except StoreError as error:
            found.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(client, Store) for client in found)
    assert all(client.damaged_file is None for client in found if isinstance(client, Store))


def test_the_lock_files_of_killed_clients_are_removed(store: Store, file: Path) -> None:
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from baize_tui.store.conversations import Store\n"
        f"store = Store(Path({str(file)!r}))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=False)
    other = Store(file)
    names = {store.database.client_name, other.database.client_name}
    assert {lock.stem for lock in (file.parent / "clients").iterdir()} == names


def test_an_answer_of_a_killed_client_is_marked_as_interrupted(file: Path) -> None:
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from baize_tui.store.conversations import Store\n"
        "from baize_tui.store.records import AnswerContent\n"
        f"store = Store(Path({str(file)!r}))\n"
        "c = store.new_conversation(system='', moderation=True)\n"
        "m = store.add_message(c.id, None, 'assistant', '', state='streaming')\n"
        "store.answers.journal(AnswerContent(m.id, 'half an ans', '', [1, 2], 't'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    store = Store(file)
    (message,) = store.shown_messages(store.conversations()[0].id)
    assert (message.state, message.text, message.ids) == ("interrupted", "half an ans", [1, 2])


def test_an_answer_of_a_running_client_is_left_alone(store: Store, file: Path) -> None:
    conversation = talk(store)
    message = store.add_message(conversation.id, None, "assistant", "", state="streaming")
    other = Store(file)
    assert other.message(message.id).state == "streaming"


def test_a_file_of_the_first_schema_is_migrated(file: Path) -> None:
    """A file of the first schema, as version 0.1 wrote it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    old = sqlite3.connect(file)
    for statement in STEPS[0].split(";\n"):
        if statement.strip():
            old.execute(statement)
    old.execute(
        "INSERT INTO conversation (id, title, created_at, updated_at, system, moderation) "
        "VALUES ('abc', 'Old', 1, 1, 's', 1)"
    )
    old.execute(
        "INSERT INTO message (conversation_id, role, state, text, created_at) "
        "VALUES ('abc', 'user', 'complete', 'Hi', 1)"
    )
    old.execute("UPDATE conversation SET leaf_id = 1")
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()
    store = Store(file)
    conversation = store.conversation("abc")
    assert (conversation.sampling, conversation.overflow) == ({}, None)
    (message,) = store.shown_messages("abc")
    assert (message.mark, message.pinned, message.summary) == (None, False, "")
    store.set_options(msgspec.structs.replace(conversation, sampling={"top_k": 5}))
    assert store.conversation("abc").sampling == {"top_k": 5}
    store.close()


_WITH_TITLE_SOURCES = next(n for n, step in enumerate(STEPS, 1) if "title_source" in step)


@pytest.mark.parametrize("steps", range(1, _WITH_TITLE_SOURCES))
def test_titles_of_older_files_stay(file: Path, steps: int) -> None:
    """Nobody knows where they came from; the words for a conversation without one are known."""
    file.parent.mkdir(parents=True, exist_ok=True)
    old = sqlite3.connect(file)
    for step in STEPS[:steps]:
        old.executescript(step)
    for id, title in (("a", "Old"), ("b", NEW_TITLE)):
        old.execute(
            "INSERT INTO conversation (id, title, created_at, updated_at, system, moderation) "
            "VALUES (?, ?, 1, 1, '', 1)",
            (id, title),
        )
    old.execute(f"PRAGMA user_version = {steps}")
    old.commit()
    old.close()
    store = Store(file)
    assert not store.set_automatic_title("a", "New", "model")
    assert store.set_automatic_title("b", "New", "question")
    assert [store.conversation(id).title for id in "ab"] == ["Old", "New"]
    store.close()


@pytest.mark.parametrize("source", get_args(TitleSource))
@pytest.mark.parametrize("automatic", ["question", "model"])
def test_an_automatic_title_replaces_only_those_of_worse_sources(
    store: Store, source: TitleSource, automatic: TitleSource
) -> None:
    conversation = store.new_conversation(system="", moderation=True)
    assert (conversation.title, conversation.title_source) == (NEW_TITLE, "none")
    if source != "none":
        store.rename(conversation.id, "Old", source)
    order = get_args(TitleSource)
    replaces = order.index(source) < order.index(automatic)
    assert store.set_automatic_title(conversation.id, "New", automatic) == replaces
    stored = store.conversation(conversation.id)
    assert (stored.title == "New", stored.title_source == automatic) == (
        replaces,
        replaces or source == automatic,
    )


def test_a_person_may_choose_the_words_that_stand_for_no_title(store: Store) -> None:
    conversation = store.new_conversation(system="", moderation=True)
    store.rename(conversation.id, NEW_TITLE)
    assert not store.set_automatic_title(conversation.id, "Why?", "question")
    store.rename(conversation.id, " ")
    assert store.set_automatic_title(conversation.id, "Why?", "question")


def test_a_summary_belongs_to_its_message(store: Store) -> None:
    conversation = talk(store)
    message = store.add_message(conversation.id, None, "user", "Why?")
    store.set_context_start(conversation.id, message.id, "They talked.")
    assert store.conversation(conversation.id).context_start == message.id
    assert store.message(message.id).summary == "They talked."
    assert [m.summary for m in store.path_end(message.id, 1)] == ["They talked."]
    store.set_summary(message.id, "They argued.")
    assert store.path(message.id)[-1].summary == "They argued."
    with pytest.raises(UnknownConversation):
        store.set_context_start("nowhere", message.id)


def test_marks_and_pins_are_saved_and_removed(store: Store) -> None:
    conversation = talk(store)
    message = store.add_message(conversation.id, None, "assistant", "Yes.")
    store.set_mark(message.id, "good")
    store.set_pinned(message.id, True)
    assert (store.message(message.id).mark, store.message(message.id).pinned) == ("good", True)
    store.set_mark(message.id, None)
    store.set_pinned(message.id, False)
    assert (store.message(message.id).mark, store.message(message.id).pinned) == (None, False)


def test_the_end_of_a_path_is_read_on_its_own(store: Store) -> None:
    conversation = store.new_conversation(system="", moderation=True)
    parent: int | None = None
    for number in range(10):
        parent = store.add_message(conversation.id, parent, "user", f"m{number}", ids=[1, 2]).id
    assert parent is not None
    last = store.path_end(parent, 3)
    assert [message.text for message in last] == ["m7", "m8", "m9"]
    assert last[0].parent_id is not None
    assert [m.text for m in store.path_end(last[0].parent_id, 99)] == [f"m{n}" for n in range(7)]
