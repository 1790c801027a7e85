"""``sessions import``, ``backup`` and ``restore``, killed: whole conversations, and each once."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from benchmarks.killing.cases import Case, KilledCommand, RunCase, emptied, prepare_command
from benchmarks.killing.stored_words import (
    opened,
    store_problems,
    stored_messages,
)
from tests.chat.foreign_exports import chatgpt, node

CONVERSATIONS = 600
MESSAGES = 4


def prepare_sessions(folder: Path, stack: ExitStack) -> RunCase:
    return prepare_command(_Sessions(folder), folder)


def _export(file: Path) -> None:
    """Write an export of ChatGPT."""
    conversations = []
    for number in range(CONVERSATIONS):
        texts = [f"Text {number}.{turn} " + "of some words " * 20 for turn in range(MESSAGES)]
        ids = [f"{number}-{turn}" for turn in range(MESSAGES)]
        nodes = [
            node(id, parent, "assistant" if turn % 2 else "user", text)
            for turn, (id, parent, text) in enumerate(
                zip(ids, ["root", *ids[:-1]], texts, strict=True)
            )
        ]
        fields = {"title": f"Title {number}", "conversation_id": f"c-{number}", "id": f"c-{number}"}
        conversations.append(chatgpt(*nodes, current=ids[-1], **fields))
    file.write_text(json.dumps(conversations))


class _Sessions(KilledCommand):
    """The three commands in turn, each with the same conversations."""

    variants = 3

    def __init__(self, folder: Path) -> None:
        self._export = folder / "conversations.json"
        _export(self._export)
        self._full = emptied(Case(0, folder / "full"))
        self._backup = folder / "backup.db"
        self._run(self._full, "import", self._export)
        self._run(self._full, "backup", self._backup)
        self._texts = sorted(text for *_, text in stored_messages(self._full.home))
        assert len(self._texts) == CONVERSATIONS * MESSAGES

    def _run(self, case: Case, *arguments: object) -> None:
        command = [sys.executable, "-m", "baize_tui", "sessions", *map(str, arguments)]
        subprocess.run(command, env=case.environment, check=True, capture_output=True)

    def fill(self, case: Case) -> None:
        if case.number % self.variants == 1:
            shutil.copytree(self._full.home, case.home)

    def arguments(self, case: Case) -> list[object]:
        commands: tuple[list[object], ...] = (
            ["import", self._export],
            ["backup", "--force", case.folder / "backup.db"],
            ["restore", self._backup],
        )
        return ["baize_tui", "sessions", *commands[case.number % self.variants]]

    def check_killed(self, case: Case) -> Iterator[str]:
        yield from store_problems(case.home)
        with opened(case.home) as connection:
            tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'message'")
            rows = (
                connection.execute("SELECT conversation_id FROM message").fetchall()
                if tables.fetchone()
                else []
            )
        parts = [id for (id,), count in Counter(rows).items() if count != MESSAGES]
        if parts:
            yield f"{len(parts)} conversations without all of their messages"
        backup = case.folder / "backup.db"
        if backup.exists():
            yield from self._check_backup(backup)

    def check_finished(self, case: Case) -> Iterator[str]:
        yield from self.check_killed(case)
        texts = sorted(text for *_, text in stored_messages(case.home))
        if texts != self._texts:
            yield f"{len(texts)} messages, not the {len(self._texts)} of the file"
        if case.number % self.variants == 1 and not (case.folder / "backup.db").exists():
            yield "no backup"

    def _check_backup(self, backup: Path) -> Iterator[str]:
        with closing(sqlite3.connect(backup)) as connection:
            (state,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            (count,) = connection.execute("SELECT count(*) FROM message").fetchone()
        if (state, count) != ("ok", len(self._texts)):
            yield f"the backup is {state}, with {count} messages"
