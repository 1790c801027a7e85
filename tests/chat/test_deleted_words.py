"""What was deleted is in no export, in no training data, and is not recalled, found or listed."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from baize_tui.chat.exports.rendering import ExportFormat
from baize_tui.cli.session_export import TrainingKind
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from baize_tui.store.records import Mark
from tests.program_commands import RUN

DELETED, KEPT = "quincunx", "persimmon"


class Conversation:
    """A conversation that is written turn by turn."""

    def __init__(self, store: Store, word: str, title: str = "Fruit") -> None:
        self._store = store
        self._word = word
        self.id = store.new_conversation(system="", moderation=True, title=title).id

    def ask(self, parent: int | None = None, word: str = "") -> int:
        text = f"What is a {word or self._word}?"
        return self._store.add_message(self.id, parent, "user", text).id

    def answer(self, parent: int, mark: Mark | None, word: str = "") -> int:
        text = f"A {word or self._word}, number {parent}."
        id = self._store.add_message(self.id, parent, "assistant", text).id
        self._store.set_mark(id, mark)
        return id


def deleted_conversation(store: Store) -> None:
    gone = Conversation(store, DELETED, f"About a {DELETED}")
    question = gone.ask()
    gone.answer(question, "good")
    gone.answer(question, "bad")
    gone.ask(gone.answer(question, "good"))
    store.delete(gone.id)


def deleted_question(store: Store) -> None:
    """With everything below it, which is marked and goes on."""
    kept = Conversation(store, KEPT)
    answer = kept.answer(kept.ask(), "good")
    question = kept.ask(answer, DELETED)
    for mark in get_args(Mark):
        below = kept.answer(question, mark, DELETED)
        kept.answer(kept.ask(below, DELETED), "good", DELETED)
    store.delete_message(question)


def deleted_answer(store: Store) -> None:
    """The better one, and the worse one, of two."""
    for gone in get_args(Mark):
        kept = Conversation(store, KEPT)
        question = kept.ask()
        for mark in get_args(Mark):
            answer = kept.answer(question, mark, DELETED if mark == gone else KEPT)
            if mark == gone:
                kept.answer(kept.ask(answer, DELETED), "good", DELETED)
                store.delete_message(answer)


def deleted_first_message(store: Store) -> None:
    """So nothing of the conversation is left but its title."""
    kept = Conversation(store, DELETED)
    first = kept.ask()
    kept.answer(kept.ask(kept.answer(first, "good")), "good")
    store.delete_message(first)


def deleted_branch_in_an_archived_conversation(store: Store) -> None:
    kept = Conversation(store, KEPT)
    answer = kept.answer(kept.ask(), "good")
    kept.answer(kept.ask(answer), "good")
    gone = kept.ask(answer, DELETED)
    store.set_branch_name(gone, DELETED)
    kept.answer(gone, "good", DELETED)
    store.delete_message(gone)
    store.organizer.set_archived(kept.id, True)


WAYS = (
    deleted_conversation,
    deleted_question,
    deleted_answer,
    deleted_first_message,
    deleted_branch_in_an_archived_conversation,
)


@pytest.fixture
def store(paths: Paths) -> Store:
    """All ways to delete words, and some that were not."""
    store = Store(paths.conversations_file)
    for write in WAYS:
        write(store)
    Conversation(store, KEPT).ask()
    return store


def run(*arguments: str | Path) -> int:
    return RUN["baize-tui"](list(map(str, arguments)))


def read(target: Path) -> str:
    files = sorted(target.iterdir()) if target.is_dir() else [target]
    return "\n".join(file.read_text() for file in files)


@pytest.mark.parametrize("format", get_args(ExportFormat))
def test_deleted_words_are_in_no_export(store: Store, tmp_path: Path, format: str) -> None:
    store.close()
    target = tmp_path / "out"
    target.mkdir()
    assert run("sessions", "export", "--all", "--format", format, "--output", target) == 0
    assert KEPT in read(target)
    assert DELETED not in read(target)


@pytest.mark.parametrize("kind", get_args(TrainingKind))
def test_deleted_words_are_in_no_training_data(store: Store, tmp_path: Path, kind: str) -> None:
    kept = Conversation(store, KEPT)
    question = kept.ask()
    for mark in get_args(Mark):
        kept.answer(question, mark)
    store.close()
    target = tmp_path / "out.jsonl"
    assert run("sessions", "export", "--as", kind, "--output", target) == 0
    assert KEPT in read(target)
    assert DELETED not in read(target)


def test_a_deleted_conversation_is_not_exported_by_its_id(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    (gone,) = store.conversations(deleted=True)
    store.close()
    for options in (["--format", "json"], ["--as", "good"], ["--as", "pairs"]):
        assert run("sessions", "export", gone.id, *options) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert f"sessions undelete {gone.id}" in printed.err


def test_deleted_words_are_not_recalled(store: Store) -> None:
    assert store.questions() == [(f"What is a {KEPT}?",)]


def test_many_deleted_questions_leave_room_for_those_before_them(store: Store) -> None:
    Conversation(store, "plum").ask()
    gone = Conversation(store, DELETED)
    for _ in range(20):
        gone.ask()
    store.delete(gone.id)
    assert store.questions(5) == [("What is a plum?",), (f"What is a {KEPT}?",)]


@pytest.mark.parametrize("query", [DELETED, f"{DELETED} is:good", f"in:title {DELETED}"])
def test_deleted_words_are_not_found(
    store: Store, capsys: pytest.CaptureFixture[str], query: str
) -> None:
    store.close()
    for arguments in (("search", query), ("list",), ("list", "--archived")):
        assert run("sessions", *arguments, "--json") == 0
        assert DELETED not in capsys.readouterr().out
    assert run("sessions", "list", "--deleted") == 0
    assert DELETED in capsys.readouterr().out


def test_restored_words_are_there_again(store: Store, tmp_path: Path) -> None:
    (gone,) = store.conversations(deleted=True)
    store.undelete(gone.id)
    store.close()
    target = tmp_path / "out.jsonl"
    assert run("sessions", "export", "--as", "good", "--output", target) == 0
    assert DELETED in read(target)
