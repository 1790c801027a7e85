"""The index of the words of all messages: an FTS5 table that has no texts of its own.

The words are ours (``words.py``); FTS5 gets them with spaces between, and only stores where they
are. Triggers note in ``search_pending`` which messages are new or changed; ``update`` brings the
index up to date with some of them. So an answer costs one small row while it is written, a file of
an older version is indexed while the client is in use, and several clients can share the work.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence

import msgspec

from baize_shared.json_errors import JSON_ERRORS
from baize_tui.store.database import Database
from baize_tui.store.errors import StoreError
from baize_tui.store.months import month_words
from baize_tui.store.words import words

TABLE = "message_words"
_MODULE = "fts5"
_CREATE = (
    # "ascii" takes every character above ASCII for a letter: it cuts at our spaces only.
    f"CREATE VIRTUAL TABLE {TABLE} USING fts5 (question, answer, thought, model, mark, month, "
    "content = '', columnsize = 0, tokenize = 'ascii')"
)
_ALL_PENDING = "INSERT INTO search_pending (message_id) SELECT id FROM message"
_PENDING_COLUMNS = """
SELECT pending.message_id, pending.role AS old_role, pending.text AS old_text,
       pending.reasoning AS old_reasoning, pending.provenance AS old_provenance,
       pending.mark AS old_mark, pending.created_at AS old_created_at, message.role, message.text,
       message.reasoning, message.provenance, message.mark, message.created_at
FROM search_pending AS pending LEFT JOIN message ON message.id = pending.message_id
"""
_PENDING = f"""
{_PENDING_COLUMNS} WHERE message.state IS NOT 'streaming'
ORDER BY pending.message_id DESC LIMIT ?
"""
_REMOVED = f"{_PENDING_COLUMNS} WHERE message.id IS NULL ORDER BY pending.message_id DESC LIMIT ?"
_OF_REMOVED = "FROM search_pending WHERE message_id NOT IN (SELECT id FROM message)"
_REMAINING = """
SELECT (SELECT count(*) FROM search_pending)
     - (SELECT count(*) FROM message JOIN search_pending ON message_id = message.id
        WHERE message.state = 'streaming')
"""
_MESSAGES, _CHARACTERS = 200, 200_000
"""The most messages, and about the most characters, that one call of ``update`` indexes: other
calls of the store wait meanwhile."""

_Document = tuple[str, str, str, str, str, str]
"""The words of a message, in the columns of the table."""


class SearchIndex:
    """The index in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._exists = False

    @property
    def exists(self) -> bool:
        """Whether there is an index that can be searched.

        Raises:
            StoreError: the file cannot be read.
        """
        if not self._exists and self._is_supported:
            self._exists = bool(
                self._database.rows("SELECT 1 FROM sqlite_master WHERE name = ?", TABLE)
            )
        return self._exists

    @property
    def _is_supported(self) -> bool:
        """Whether this SQLite has FTS5; some are built without."""
        return bool(self._database.rows("SELECT 1 FROM pragma_module_list WHERE name = ?", _MODULE))

    def update(self) -> int:
        """Index some of the messages that are not, the newest first; returns how many are left.

        Nothing is indexed where SQLite has no FTS5. An answer that still grows does not count.

        Raises:
            StoreError: the file cannot be read or written.
        """
        if not self.exists and not self._create():
            return 0
        if not self.remaining():
            return 0
        with self._database.transaction() as connection:
            _index_some(connection, _PENDING)
        return self.remaining()

    def complete(self) -> int:
        """``update`` if one call is enough and the file can be written; returns how many are left.

        Whoever searches does not wait for more.
        """
        with contextlib.suppress(StoreError):
            if not self.exists or self.remaining() <= _MESSAGES:
                return self.update()
        return self.remaining()

    def forget_removed(self) -> None:
        """Remove the words of all messages that no longer exist, also where FTS5 only notes that
        they no longer count.

        Raises:
            StoreError: the file cannot be read or written.
        """
        while self._database.rows(f"SELECT 1 {_OF_REMOVED} LIMIT 1"):
            with self._database.transaction() as connection:
                if self.exists:
                    _index_some(connection, _REMOVED)
                else:
                    connection.execute(f"DELETE {_OF_REMOVED}")
        if self.exists:
            with self._database.transaction() as connection:
                # FTS5's own "secure-delete" would need SQLite 3.42, also in every other client.
                connection.execute(f"INSERT INTO {TABLE} ({TABLE}) VALUES ('optimize')")

    def remaining(self) -> int:
        """How many messages are not indexed."""
        return max(int(self._database.rows(_REMAINING)[0][0]), 0)

    def _create(self) -> bool:
        """Create the table, and have all messages indexed; False if SQLite has no FTS5."""
        if not self._is_supported:
            return False
        with self._database.transaction() as connection:
            if not self.exists:  # another client may have been faster
                connection.execute(_CREATE)
                connection.execute("DELETE FROM search_pending")
                connection.execute(_ALL_PENDING)
        return True


def _index_some(connection: sqlite3.Connection, pending: str) -> None:
    """Index messages that the query ``pending`` gives, in the transaction of ``connection``."""
    cursor = connection.cursor()
    cursor.row_factory = sqlite3.Row
    rows: list[sqlite3.Row] = []
    characters = 0
    for row in cursor.execute(pending, (_MESSAGES,)):
        rows.append(row)
        characters += len(row["text"] or "") + len(row["reasoning"] or "") + 100
        if characters > _CHARACTERS:
            break
    cursor.close()
    rows.reverse()  # FTS5 writes what it has in memory when a number is lower than the last
    for row in rows:
        number = row["message_id"]
        before, now = _document(row, "old_"), _document(row, "")
        if before == now:
            continue
        if before is not None:
            connection.execute(
                f"INSERT INTO {TABLE} ({TABLE}, rowid, question, answer, thought, model, mark, "
                "month) "
                "VALUES ('delete', ?, ?, ?, ?, ?, ?, ?)",
                (number, *before),
            )
        if now is not None:
            connection.execute(
                f"INSERT INTO {TABLE} (rowid, question, answer, thought, model, mark, "
                "month) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (number, *now),
            )
    done: Sequence[tuple[int]] = [(row["message_id"],) for row in rows]
    connection.executemany("DELETE FROM search_pending WHERE message_id = ?", done)


def _document(row: sqlite3.Row, prefix: str) -> _Document | None:
    """What the index has of a message; None if there is no message."""
    role = row[f"{prefix}role"]
    if role is None:
        return None
    text = " ".join(words(row[f"{prefix}text"]))
    return (
        text if role == "user" else "",
        "" if role == "user" else text,
        " ".join(words(row[f"{prefix}reasoning"])),
        " ".join(words(model_name(row[f"{prefix}provenance"]))),
        {1: "good", -1: "bad"}.get(row[f"{prefix}mark"], ""),
        month_words(row[f"{prefix}created_at"]),
    )


def model_name(provenance: str | None) -> str:
    """The model of an answer, from the column ``provenance``; empty if it is unknown."""
    if provenance is None:
        return ""
    try:
        return msgspec.json.decode(provenance, type=_Model).model
    except JSON_ERRORS:
        return ""


class _Model(msgspec.Struct):
    model: str = ""
