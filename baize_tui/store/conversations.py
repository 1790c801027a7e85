"""The store: conversations, their message trees, and the journal of an answer on its way.

SQLite in WAL mode, so that two clients work on one file; what was written stays after ``kill -9``.
A damaged file is set aside, never deleted; one of a newer program is left alone.
"""

from __future__ import annotations

import array
import contextlib
import os
import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from baize_shared.sanitizer import clean_line, clean_text
from baize_tui.paths import private_folder
from baize_tui.store.migrations import VERSION, migrate
from baize_tui.store.records import (
    AnswerSoFar,
    Conversation,
    Mark,
    Message,
    MessageRole,
    MessageState,
    Provenance,
)
from baize_tui.store.writers import Writer, is_alive

NEW_TITLE = "New conversation"
_LATEST = "max(?, (SELECT max(updated_at) + 1e-6 FROM conversation))"
"""Now, and after all others whatever the clock did: what was used last stands first."""
_SHOWN = (
    "message.id, conversation_id, message.parent_id, role, state, text, reasoning, NULL AS ids, "
    "NULL AS tokenizer, created_at, NULL AS provenance, mark, pinned"
)
_BUSY_S = 5.0
_A_PAGE = 1 << 16


class StoreError(Exception):
    """The store cannot do it; the message is one line."""


class StoreFull(StoreError):
    """The disk is full; the same write may succeed later."""


class UnknownConversation(StoreError):
    """No conversation has this id."""


class Store:
    """One open conversations file. All methods may be called from any thread."""

    def __init__(self, file: Path | None) -> None:
        """Open ``file``, make or migrate it, and mark what dead clients left unfinished.

        None keeps all in memory: nothing is written anywhere.

        Raises:
            StoreError: no permission, or the file is of a newer program.
        """
        self.file = file
        self.set_aside: Path | None = None
        """Where a damaged file was moved when this one was opened."""
        self._lock = threading.RLock()
        self._writer: Writer | None = None
        if file is not None:
            try:
                private_folder(file.parent)
                self._writer = Writer(file.parent / "clients")
            except OSError as error:
                raise StoreError(f"{error.filename or file}: {error.strerror}") from error
        try:
            self._connection = self._connect() if file is None else self._open(file)
        except StoreError:
            self._close_writer()
            raise
        self.interrupted = self._mark_interrupted()
        """How many answers of clients that died were found and marked."""

    # --- opening --------------------------------------------------------------------------------

    def _open(self, file: Path) -> sqlite3.Connection:
        end = time.monotonic() + _BUSY_S
        while True:
            try:
                return self._connect()
            except sqlite3.Error as error:
                # Making a new file a WAL one does not wait for another client that does the same.
                if _is_busy(error) and time.monotonic() < end:
                    time.sleep(0.01)
                    continue
                if not _is_damage(error):
                    raise self._failure(error) from error
                break
        stamp = time.strftime("%Y%m%d-%H%M%S")
        self.set_aside = file.with_name(f"{file.stem}.damaged-{stamp}{file.suffix}")
        try:
            for suffix in ("", "-wal", "-shm"):
                part = Path(f"{file}{suffix}")
                if part.exists():
                    part.rename(f"{self.set_aside}{suffix}")
            return self._connect()
        except OSError as error:
            raise StoreError(f"{file} is damaged and cannot be moved: {error.strerror}") from error
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _connect(self) -> sqlite3.Connection:
        if self.file is not None and not self.file.exists():
            try:
                os.close(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600))
            except OSError as error:
                raise StoreError(f"{self.file}: {error.strerror}") from error
        if self.file is not None and not _may_write(self.file):
            # SQLite would open it for reading and fail at the first question asked.
            raise StoreError(f"{self.file}: no permission to write")
        connection = sqlite3.connect(
            self.file or ":memory:",
            isolation_level=None,
            check_same_thread=False,
            timeout=_BUSY_S,
        )
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise StoreError(
                    f"{self.file} was written by a newer baize-tui (schema {version}, this one "
                    f"knows {VERSION}). Update baize-tui; the file was not touched"
                )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            migrate(connection)
            connection.execute("SELECT count(*), max(updated_at) FROM conversation").fetchone()
            connection.execute("SELECT max(id) FROM message").fetchone()
        except (sqlite3.Error, StoreError):
            connection.close()
            raise
        return connection

    def close(self) -> None:
        with self._lock:
            self._connection.close()
            self._close_writer()

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()

    @property
    def _writer_name(self) -> str:
        return self._writer.name if self._writer is not None else "memory"

    def _failure(self, error: sqlite3.Error) -> StoreError:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and (
            code & 0xFF == sqlite3.SQLITE_FULL
            # A full disk is an I/O error where SQLite cannot make its shared memory file.
            or (code & 0xFF == sqlite3.SQLITE_IOERR and self._disk_is_full())
        ):
            return StoreFull(f"{self.file}: no space left on the disk")
        if code is not None and code & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            return StoreError(f"{self.file}: no permission to write ({error})")
        return StoreError(f"{self.file}: {error}")

    def _disk_is_full(self) -> bool:
        if self.file is None:
            return False
        disk = os.statvfs(self.file.parent)
        return disk.f_bavail * disk.f_frsize < _A_PAGE

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
                try:
                    self._connection.execute("COMMIT")
                except sqlite3.Error:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._failure(error) from error

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            try:
                cursor = self._connection.execute(query, values)
                cursor.row_factory = sqlite3.Row
                return cursor.fetchall()
            except sqlite3.Error as error:
                raise self._failure(error) from error

    def _mark_interrupted(self) -> int:
        if self.file is None:
            return 0
        clients = self.file.parent / "clients"
        writers = self._rows("SELECT DISTINCT writer FROM message WHERE state = 'streaming'")
        dead = [row["writer"] for row in writers if not is_alive(clients, row["writer"] or "")]
        marked = 0
        if dead:
            with self._transaction() as connection:
                for writer in dead:
                    marked += connection.execute(
                        "UPDATE message SET state = 'interrupted', writer = NULL "
                        "WHERE state = 'streaming' AND writer IS ?",
                        (writer,),
                    ).rowcount
        return marked

    # --- conversations --------------------------------------------------------------------------

    def new_conversation(
        self,
        *,
        system: str,
        moderation: bool,
        model: str | None = None,
        format: str | None = None,
        title: str = NEW_TITLE,
        adapters: Mapping[str, float] = {},
    ) -> Conversation:
        now = time.time()
        conversation_id = uuid.uuid4().hex[:12]
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO conversation (id, title, created_at, updated_at, model, system, "
                "moderation, format, adapters) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    conversation_id,
                    clean_line(title),
                    now,
                    now,
                    model,
                    clean_text(system),
                    moderation,
                    format,
                    msgspec.json.encode(adapters).decode(),
                ),
            )
        return self.conversation(conversation_id)

    def conversations(self, *, deleted: bool = False) -> list[Conversation]:
        """The conversations, the last used first; ``deleted`` lists those in the bin instead."""
        condition = "IS NOT NULL" if deleted else "IS NULL"
        rows = self._rows(
            f"SELECT * FROM conversation WHERE deleted_at {condition} "
            "ORDER BY updated_at DESC, rowid DESC"
        )
        return [_conversation(row) for row in rows]

    def conversation(self, conversation_id: str) -> Conversation:
        """The conversation whose id is, or alone begins with, ``conversation_id``; deleted too.

        Raises:
            UnknownConversation: none, or more than one.
        """
        pattern = conversation_id.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        rows = self._rows(
            r"SELECT * FROM conversation WHERE id LIKE ? ESCAPE '\' LIMIT 2", f"{pattern}%"
        )
        if not rows or not conversation_id:
            raise UnknownConversation(f"no conversation has the id {clean_line(conversation_id)!r}")
        if len(rows) > 1:
            raise UnknownConversation(
                f"more than one conversation begins with {conversation_id!r}; give more of the id"
            )
        return _conversation(rows[0])

    def is_deleted(self, conversation_id: str) -> bool:
        rows = self._rows("SELECT deleted_at FROM conversation WHERE id = ?", conversation_id)
        return bool(rows) and rows[0]["deleted_at"] is not None

    def rename(self, conversation_id: str, title: str) -> None:
        self._set(conversation_id, "title", clean_line(title) or NEW_TITLE)

    def delete(self, conversation_id: str) -> None:
        """Put the conversation into the bin; ``undelete`` takes it out, with all it held."""
        self._set(conversation_id, "deleted_at", time.time())

    def undelete(self, conversation_id: str) -> None:
        self._set(conversation_id, "deleted_at", None)

    def set_options(self, conversation: Conversation) -> None:
        """Keep what a person chooses for a conversation: model, system prompt, moderation, format,
        sampling, overflow and adapters of ``conversation``; nothing else of it."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE conversation SET model = ?, system = ?, moderation = ?, format = ?, "
                "sampling = ?, overflow = ?, adapters = ? WHERE id = ?",
                (
                    conversation.model,
                    clean_text(conversation.system),
                    conversation.moderation,
                    conversation.format,
                    msgspec.json.encode(conversation.sampling).decode(),
                    conversation.overflow,
                    msgspec.json.encode(conversation.adapters).decode(),
                    conversation.id,
                ),
            )

    def set_context_start(self, conversation_id: str, message_id: int | None) -> None:
        self._set(conversation_id, "context_start", message_id)

    def leaf_below(self, message_id: int) -> int:
        """The latest end of a branch that goes through ``message_id``; itself where none does."""
        rows = self._rows(
            "WITH RECURSIVE below(id) AS ("
            "  SELECT ? UNION ALL "
            "  SELECT message.id FROM message JOIN below ON message.parent_id = below.id "
            "  WHERE message.deleted_at IS NULL"
            ") SELECT max(id) FROM below",
            message_id,
        )
        return int(rows[0][0])

    def delete_message(self, message_id: int) -> None:
        """Take a message and all below it out of sight; ``undelete_message`` brings them back.

        Shown is then another answer to the same message, or what stood before.
        """
        message = self.message(message_id)
        others = [sibling for sibling in self.siblings(message_id) if sibling != message_id]
        leaf = self.leaf_below(others[-1]) if others else message.parent_id
        with self._transaction() as connection:
            connection.execute(
                "UPDATE message SET deleted_at = ? WHERE id = ?", (time.time(), message_id)
            )
            connection.execute(
                "UPDATE conversation SET leaf_id = ? WHERE id = ?", (leaf, message.conversation_id)
            )

    def undelete_message(self, message_id: int) -> None:
        """Bring a deleted message back, and show it."""
        message = self.message(message_id)
        with self._transaction() as connection:
            connection.execute("UPDATE message SET deleted_at = NULL WHERE id = ?", (message_id,))
        self.set_leaf(message.conversation_id, self.leaf_below(message_id))

    def branches(self, conversation_id: str) -> dict[int, tuple[int, int]]:
        """Messages with siblings: the place among them, from 1, and how many they are."""
        rows = self._rows(
            "SELECT id, parent_id FROM message "
            "WHERE conversation_id = ? AND deleted_at IS NULL ORDER BY id",
            conversation_id,
        )
        children: dict[int | None, list[int]] = {}
        for row in rows:
            children.setdefault(row["parent_id"], []).append(row["id"])
        return {
            message: (place, len(siblings))
            for siblings in children.values()
            if len(siblings) > 1
            for place, message in enumerate(siblings, start=1)
        }

    def questions(self, limit: int = 200) -> list[str]:
        """What the person wrote last, in all conversations, the latest first."""
        rows = self._rows(
            "SELECT text FROM message WHERE role = 'user' AND deleted_at IS NULL "
            "ORDER BY id DESC LIMIT ?",
            limit,
        )
        return list(dict.fromkeys(row["text"] for row in rows))

    def set_leaf(self, conversation_id: str, message_id: int) -> None:
        """Show the branch that ends in ``message_id``."""
        self._set(conversation_id, "leaf_id", message_id)

    def _set(self, conversation_id: str, column: str, value: object) -> None:
        with self._transaction() as connection:
            changed = connection.execute(
                f"UPDATE conversation SET {column} = ? WHERE id = ?", (value, conversation_id)
            ).rowcount
        if not changed:
            raise UnknownConversation(f"no conversation has the id {conversation_id!r}")

    def version(self) -> int:
        """A number that changes when another client has written to the file."""
        return int(self._rows("PRAGMA data_version")[0][0])

    # --- messages -------------------------------------------------------------------------------

    def messages(self, conversation_id: str) -> list[Message]:
        """The branch that is shown, from the first message to the leaf."""
        leaf = self.conversation(conversation_id).leaf_id
        return self.path(leaf) if leaf is not None else []

    def tree(self, conversation_id: str) -> list[Message]:
        """All messages of all branches, the oldest first."""
        rows = self._rows(
            "SELECT * FROM message WHERE conversation_id = ? AND deleted_at IS NULL ORDER BY id",
            conversation_id,
        )
        return [_message(row) for row in rows]

    def path(self, message_id: int) -> list[Message]:
        """``message_id`` and all before it, the oldest first."""
        return [_message(row) for row in self._rows(_path("message.*"), message_id, -1)]

    def texts(self, message_id: int, limit: int) -> list[Message]:
        """The last ``limit`` messages of ``path``, as a screen shows them: no ids, no provenance.

        Thousands of them are read in the time in which one is drawn.
        """
        rows = self._rows(_path(_SHOWN), message_id, limit)
        return [_message(row) for row in rows]

    def message(self, message_id: int) -> Message:
        rows = self._rows("SELECT * FROM message WHERE id = ?", message_id)
        if not rows:
            raise StoreError(f"no message has the number {message_id}")
        return _message(rows[0])

    def set_mark(self, message_id: int, mark: Mark | None) -> None:
        """Keep what the person thinks of an answer; None takes it back."""
        number = {"good": 1, "bad": -1, None: None}[mark]
        self._set_of_message(message_id, "mark", number)

    def set_pinned(self, message_id: int, pinned: bool) -> None:
        """Have the message's turn stay in the context, or no longer."""
        self._set_of_message(message_id, "pinned", pinned)

    def _set_of_message(self, message_id: int, column: str, value: object) -> None:
        with self._transaction() as connection:
            connection.execute(f"UPDATE message SET {column} = ? WHERE id = ?", (value, message_id))

    def siblings(self, message_id: int) -> list[int]:
        """Numbers of the messages that answer the same one, this one among them, by age."""
        rows = self._rows(
            "SELECT other.id FROM message AS this JOIN message AS other "
            "ON other.conversation_id = this.conversation_id AND other.parent_id IS this.parent_id "
            "WHERE this.id = ? AND other.deleted_at IS NULL ORDER BY other.id",
            message_id,
        )
        return [row["id"] for row in rows]

    def add_message(
        self,
        conversation_id: str,
        parent_id: int | None,
        role: MessageRole,
        text: str,
        *,
        state: MessageState = "complete",
        ids: Sequence[int] | None = None,
        tokenizer: str | None = None,
    ) -> Message:
        """Add a message below ``parent_id`` and make it the leaf."""
        now = time.time()
        with self._transaction() as connection:
            number = connection.execute(
                "INSERT INTO message (conversation_id, parent_id, role, state, text, ids, "
                "tokenizer, writer, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    conversation_id,
                    parent_id,
                    role,
                    state,
                    clean_text(text),
                    _pack(ids),
                    tokenizer,
                    self._writer_name if state == "streaming" else None,
                    now,
                ),
            ).lastrowid
            connection.execute(
                f"UPDATE conversation SET leaf_id = ?, updated_at = {_LATEST} WHERE id = ?",
                (number, now, conversation_id),
            )
        assert number is not None
        return self.message(number)

    def begin_streaming(self, message_id: int) -> None:
        """Go on with a message that was stopped or interrupted."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE message SET state = 'streaming', writer = ? WHERE id = ?",
                (self._writer_name, message_id),
            )

    def journal(
        self, message_id: int, text: str, reasoning: str, ids: Sequence[int], tokenizer: str
    ) -> None:
        """Write down an answer as far as it has come."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE message SET text = ?, reasoning = ?, ids = ?, tokenizer = ? WHERE id = ?",
                (text, reasoning, _pack(ids), tokenizer, message_id),
            )

    def rescue(self, answers: Sequence[AnswerSoFar], limit_s: float) -> None:
        """Write down answers that still stream, as stopped, while other threads may hang in this
        store: over a connection of its own.

        Raises:
            StoreError: it could not be written within ``limit_s``.
        """
        if self.file is None or not answers:
            return
        try:
            with contextlib.closing(
                sqlite3.connect(self.file, isolation_level=None, timeout=limit_s)
            ) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "UPDATE message SET text = ?, reasoning = ?, ids = ?, tokenizer = ?, "
                    "state = 'stopped', writer = NULL WHERE id = ? AND state = 'streaming'",
                    [
                        (a.text, a.reasoning, _pack(a.ids), a.tokenizer, a.message_id)
                        for a in answers
                    ],
                )
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def finish(
        self,
        message_id: int,
        state: MessageState,
        text: str,
        reasoning: str,
        ids: Sequence[int],
        tokenizer: str | None,
        provenance: Provenance | None,
    ) -> None:
        """Write down a whole answer and how it was made."""
        now = time.time()
        with self._transaction() as connection:
            connection.execute(
                "UPDATE message SET state = ?, text = ?, reasoning = ?, ids = ?, tokenizer = ?, "
                "provenance = ?, writer = NULL WHERE id = ?",
                (
                    state,
                    text,
                    reasoning,
                    _pack(ids),
                    tokenizer,
                    msgspec.json.encode(provenance).decode() if provenance else None,
                    message_id,
                ),
            )
            connection.execute(
                f"UPDATE conversation SET updated_at = {_LATEST} "
                "WHERE id = (SELECT conversation_id FROM message WHERE id = ?)",
                (now, message_id),
            )

    def set_model_hash(self, message_id: int, sha256: str) -> None:
        """Add the hash of the model file to an answer's provenance, once it is known."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE message SET provenance = json_set(provenance, '$.model_sha256', ?) "
                "WHERE id = ? AND provenance IS NOT NULL",
                (sha256, message_id),
            )


def _path(columns: str) -> str:
    """A query for a message (first value) and at most so many (second value) up to its root."""
    return (
        "WITH RECURSIVE path(id, depth) AS ("
        "  SELECT ?, 1 UNION ALL "
        "  SELECT message.parent_id, depth + 1 FROM message JOIN path ON message.id = path.id "
        "  WHERE message.parent_id IS NOT NULL LIMIT ?"
        f") SELECT {columns} FROM path JOIN message ON message.id = path.id ORDER BY depth DESC"
    )


def _may_write(file: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(file, os.W_OK, effective_ids=effective)


def _is_busy(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return not isinstance(error, sqlite3.OperationalError)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or (
        # tables missing or of another shape: not a file of this program
        isinstance(error, sqlite3.OperationalError)
        and str(error).startswith(("no such table", "no such column"))
    )


def _pack(ids: Sequence[int] | None) -> bytes | None:
    if ids is None:
        return None
    packed = array.array("i", ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _unpack(raw: bytes | None) -> list[int] | None:
    if raw is None:
        return None
    ids = array.array("i", raw)
    if sys.byteorder == "big":
        ids.byteswap()
    return ids.tolist()


def _conversation(row: sqlite3.Row) -> Conversation:
    return Conversation(
        id=row["id"],
        title=row["title"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        leaf_id=row["leaf_id"],
        context_start=row["context_start"],
        model=row["model"],
        system=row["system"],
        moderation=bool(row["moderation"]),
        format=row["format"],
        sampling=msgspec.json.decode(row["sampling"]),
        overflow=row["overflow"],
        adapters=msgspec.json.decode(row["adapters"]),
    )


def _message(row: sqlite3.Row) -> Message:
    return Message(
        id=row["id"],
        conversation_id=row["conversation_id"],
        parent_id=row["parent_id"],
        role=row["role"],
        state=row["state"],
        text=row["text"],
        reasoning=row["reasoning"],
        ids=_unpack(row["ids"]),
        tokenizer=row["tokenizer"],
        created_at=row["created_at"],
        provenance=msgspec.json.decode(row["provenance"]) if row["provenance"] else None,
        mark={1: "good", -1: "bad", None: None}[row["mark"]],
        pinned=bool(row["pinned"]),
    )
