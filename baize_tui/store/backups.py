"""Backups of the conversations file, and what is restored from them, while clients use the file.

A backup is a copy by SQLite's online backup: complete and consistent, whoever writes meanwhile.

Restoring adds what the file lacks, and changes nothing that it has: a running client shows and
writes messages by their numbers, so the file cannot be replaced under it. The rows are copied as
they are, deleted messages and unsent words included; only their numbers change.
"""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from baize_shared.atomic_files import replace_when_complete
from baize_tui.shared_texts import NAMED, file_error
from baize_tui.store.database import Database
from baize_tui.store.errors import StoreError
from baize_tui.translation import msg, tr

_SOURCES = {
    "conversation": "JOIN chosen ON chosen.old = row.id",
    "message": "JOIN chosen ON chosen.old = row.conversation_id",
    # A copy has the words of its original; a draft for no conversation may have been sent since.
    "unsent": "WHERE row.conversation_id IN (SELECT new FROM chosen WHERE new = old) "
    "OR (row.conversation_id IS NULL AND :was_empty)",
    "unsent_paste": "WHERE row.unsent_id IN (SELECT id FROM main.unsent)",
}
"""The tables that are restored, parents first, and which of their rows."""
RESTORED_TABLES = tuple(_SOURCES)
_NUMBER = "(SELECT new FROM numbers WHERE old = row.{column} AND conversation_id = row.{owner})"
_VALUES = {
    ("conversation", "id"): "chosen.new",
    ("conversation", "leaf_id"): _NUMBER.format(column="leaf_id", owner="id"),
    ("conversation", "context_start"): _NUMBER.format(column="context_start", owner="id"),
    ("message", "id"): _NUMBER.format(column="id", owner="conversation_id"),
    ("message", "conversation_id"): "chosen.new",
    # A message is newer than the one before it, unless another program made a circle.
    ("message", "parent_id"): "CASE WHEN row.parent_id < row.id THEN "
    + _NUMBER.format(column="parent_id", owner="conversation_id")
    + " END",
    ("message", "state"): "replace(row.state, 'streaming', 'interrupted')",
    ("message", "writer"): "NULL",
    ("unsent", "message_id"): _NUMBER.format(column="message_id", owner="conversation_id"),
}
"""The columns that are not copied as they are."""
_KNOWN = "SELECT id FROM backup.conversation WHERE id IN (SELECT id FROM main.conversation)"
_WITH_MORE = f"""
SELECT DISTINCT conversation_id FROM (
    SELECT conversation_id, role, created_at FROM backup.message
    WHERE conversation_id IN ({_KNOWN})
    EXCEPT SELECT conversation_id, role, created_at FROM main.message
)
"""
_CHOOSE_MISSING = """
INSERT INTO chosen SELECT id, id FROM backup.conversation
WHERE id NOT IN (SELECT id FROM main.conversation)
"""
_NUMBER_MESSAGES = """
INSERT INTO numbers
SELECT id, conversation_id, row_number() OVER (ORDER BY id)
    + (SELECT coalesce(max(seq), 0) FROM main.sqlite_sequence WHERE name = 'message')
FROM backup.message WHERE conversation_id IN (SELECT old FROM chosen)
"""


class Restored(Struct, frozen=True):
    """What was restored, and what was here already."""

    restored: int
    """Conversations, those in the trash included."""
    present: int
    """Conversations that are here already, and stay as they are."""
    with_more: int
    """Those of ``present`` of which the backup has messages that are not here."""


def back_up(database: Database, target: Path) -> int:
    """Write a backup to ``target``, readable by its owner alone; returns its size in bytes.

    Raises:
        OSError: it cannot be written.
        StoreError: the conversations cannot be read, or the copy cannot be completed.
    """
    with replace_when_complete(target) as partial:
        database.copy_to(partial)
        try:
            state = _complete(partial)
        except sqlite3.Error as error:
            raise StoreError(tr(NAMED, name=target, why=error)) from error
        if state != "ok":
            raise StoreError(tr("the conversations file is damaged: {why}", why=state))
        return partial.stat().st_size


def _complete(copy: Path) -> str:
    """Make ``copy`` a single file; what is wrong with it, or ``ok``."""
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        # Else it would need two more files beside it.
        connection.execute("PRAGMA journal_mode = DELETE")
        (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        return str(state)


UNUSABLE = msg("{file} is not a usable backup: {why}")


def restore(database: Database, backup: Path, *, copies: bool = False) -> Restored:
    """Add the conversations in ``backup`` that are not here; all of them, or none.

    ``copies`` also adds those that are here, but with messages that are not: as new conversations.

    Raises:
        StoreError: it is not a backup, is damaged or of a newer program, or cannot be restored.
    """
    try:
        with (
            _opened(backup) as copy,
            database.attached(copy, "backup"),
            database.transaction() as connection,
        ):
            return _restore_attached(connection, copies)
    except UnicodeDecodeError as error:  # SQLite repeats damaged bytes in its messages
        raise StoreError(tr(UNUSABLE, file=backup, why=tr("it is damaged"))) from error


@contextlib.contextmanager
def _opened(backup: Path) -> Iterator[Path]:
    """A checked copy of ``backup`` in a private folder, brought to this version of the schema."""
    try:
        # Reading a pipe could wait forever.
        is_file = stat.S_ISREG(backup.stat().st_mode)
        is_database = is_file and _begins_as_database(backup)
    except OSError as error:
        raise StoreError(file_error(backup, error)) from error
    if not is_database:
        raise StoreError(tr("{file} is not a backup: not an SQLite file", file=backup))
    with tempfile.TemporaryDirectory(prefix="baize-") as folder:
        copy = Path(folder) / "backup.db"
        try:
            _copy(backup, copy)
            _check(copy)
        except sqlite3.Error as error:
            raise StoreError(tr(UNUSABLE, file=backup, why=error)) from error
        try:
            database = Database(copy)
        except StoreError as error:
            why = str(error).replace(str(copy), tr("it"))
            raise StoreError(tr(NAMED, name=backup, why=why)) from error
        database.close()
        if database.damaged_file is not None:
            raise StoreError(
                tr("{file} is not a backup of conversations, or it is damaged", file=backup)
            )
        yield copy


def _begins_as_database(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(16) == b"SQLite format 3\0"


def _copy(source: Path, target: Path) -> None:
    with (
        contextlib.closing(
            sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
        ) as old,
        contextlib.closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


def _check(copy: Path) -> None:
    """Refuse what could run when the copy is migrated and read: it may be anybody's file."""
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(tr("it is damaged ({why})", why=state))
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if not {"conversation", "message"} <= {name for (name,) in tables}:
            raise sqlite3.DatabaseError(tr("it has no conversations"))
        others = connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")
        if others.fetchone() is not None:
            raise sqlite3.DatabaseError(tr("it has views, which no backup has"))


def _restore_attached(connection: sqlite3.Connection, copies: bool) -> Restored:
    was_empty = connection.execute("SELECT 1 FROM main.conversation").fetchone() is None
    connection.execute("CREATE TEMP TABLE chosen (old TEXT PRIMARY KEY, new TEXT NOT NULL)")
    connection.execute(
        "CREATE TEMP TABLE numbers (old INTEGER PRIMARY KEY, conversation_id TEXT, new INTEGER)"
    )
    known = connection.execute(_KNOWN).fetchall()
    with_more = connection.execute(_WITH_MORE).fetchall()
    connection.execute(_CHOOSE_MISSING)
    if copies:
        connection.executemany(
            "INSERT INTO chosen VALUES (?, ?)", [(id, uuid.uuid4().hex[:12]) for (id,) in with_more]
        )
    connection.execute(_NUMBER_MESSAGES)
    for table in RESTORED_TABLES:
        _copy_rows(connection, table, was_empty)
    (restored,) = connection.execute("SELECT count(*) FROM chosen").fetchone()
    connection.execute("DROP TABLE chosen")
    connection.execute("DROP TABLE numbers")
    return Restored(restored, len(known), len(with_more))


def _copy_rows(connection: sqlite3.Connection, table: str, was_empty: bool) -> None:
    """Copy the rows of the chosen conversations."""
    names = connection.execute("SELECT name FROM pragma_table_info(?, 'main')", (table,))
    columns = [name for (name,) in names]
    values = ", ".join(_VALUES.get((table, column), f"row.{column}") for column in columns)
    # Words with the same id are here already. Anything else that is wrong ends the restoring.
    insert = "INSERT OR IGNORE" if table.startswith("unsent") else "INSERT"
    connection.execute(
        f"{insert} INTO main.{table} ({', '.join(columns)}) "
        f"SELECT {values} FROM backup.{table} AS row {_SOURCES[table]} ORDER BY row.rowid",
        {"was_empty": was_empty},
    )
