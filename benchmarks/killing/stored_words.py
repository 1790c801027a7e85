"""What is in the conversations file of a process that was killed, and whether the file is whole."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from baize_tui.store.search_index import TABLE
from benchmarks.client_terminal import letters

FINAL = ("complete", "stopped", "interrupted", "failed")


def conversations_file(home: Path) -> Path:
    return home / "data" / "conversations.db"


@contextlib.contextmanager
def opened(home: Path) -> Iterator[sqlite3.Connection]:
    """The conversations file; an empty one in memory if there is none."""
    file = conversations_file(home)
    with contextlib.closing(sqlite3.connect(file if file.exists() else ":memory:")) as connection:
        yield connection


def store_problems(home: Path) -> Iterator[str]:
    """What is wrong with the conversations file."""
    yield from (f"set aside: {file.name}" for file in home.glob("data/*.damaged-*"))
    if not conversations_file(home).exists():
        return
    with opened(home) as connection:
        try:
            (state,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if state != "ok":
                yield f"integrity_check: {state}"
            for table, row, *_ in connection.execute("PRAGMA foreign_key_check"):
                yield f"row {row} of {table} belongs to nothing"
            if _has_table(connection, TABLE):
                connection.execute(f"INSERT INTO {TABLE} ({TABLE}) VALUES ('integrity-check')")
        except sqlite3.Error as error:
            yield f"the store cannot be read: {error}"


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,))
    return found.fetchone() is not None


def stored_messages(home: Path) -> list[tuple[int, str, str, str]]:
    """Number, role, state and text of each message, the oldest first."""
    with opened(home) as connection:
        if not _has_table(connection, "message"):
            return []
        query = "SELECT id, role, state, text FROM message ORDER BY id"
        return connection.execute(query).fetchall()


def stored_letters(home: Path) -> str:
    """The letters of all that is stored, sent or not."""
    texts = [text for *_, text in stored_messages(home)]
    with opened(home) as connection:
        if _has_table(connection, "unsent"):
            texts += [parts for (parts,) in connection.execute("SELECT parts FROM unsent")]
    return letters("".join(texts))


def has_answered(home: Path, after: int) -> bool:
    """Whether an answer with a number above ``after`` has ended."""
    return any(
        id > after and role == "assistant" and state in FINAL
        for id, role, state, _ in stored_messages(home)
    )


def oldest_loss(shown: Mapping[str, float], kept: str, at: float) -> tuple[float, int, str]:
    """Of the texts ``shown`` since a time, those that ``kept`` lacks.

    How many seconds before ``at`` the first of them appeared, how many of its characters are
    missing, and the text; nothing lost is ``(0, 0, "")``.
    """
    lost = [(since, text) for text, since in shown.items() if text not in kept]
    if not lost:
        return 0.0, 0, ""
    since, _ = min(lost)
    missing, text = max((_missing(text, kept), text) for _, text in lost)
    return at - since, missing, text


def _missing(text: str, kept: str) -> int:
    """How many characters at the end of ``text`` are not in ``kept``."""
    there = next(size for size in range(len(text), -1, -1) if text[:size] in kept)
    return len(text) - there
