"""The conversations file itself: open, recover, lock, and run transactions.

SQLite in WAL mode, so that several clients can use one file, and committed writes survive
``kill -9``. A damaged file is set aside, never deleted; the file of a newer program is not touched.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from baize_shared.private_files import private_folder
from baize_tui.store.clients import ClientLock
from baize_tui.store.errors import StoreError, StoreFull
from baize_tui.store.migrations import VERSION, migrate

_BUSY_S = 5.0
"""How long to wait while another client writes."""
_FULL_BELOW_BYTES = 1 << 16
"""A disk with less free space counts as full."""
_REQUIRED_COLUMNS = {"conversation": {"id", "updated_at"}, "message": {"id"}}
"""Columns that every version of the schema has."""


class _NotOurSchema(Exception):
    """The tables are not those of this program."""


class Database:
    """One open conversations file. All methods may be called from any thread."""

    def __init__(self, file: Path | None) -> None:
        """Open ``file``; create or migrate it if necessary.

        None keeps everything in memory: nothing is written to disk.

        Raises:
            StoreError: no permission, or a newer program wrote the file.
        """
        self.file = file
        self.damaged_file: Path | None = None
        """Where a damaged file was moved when this one was opened."""
        self._lock = threading.RLock()
        self._client: ClientLock | None = None
        if file is None:
            self._connection = self._connect()
            return
        try:
            private_folder(file.parent)
            self._client = ClientLock(self.clients_folder)
        except OSError as error:
            raise StoreError(f"{error.filename or file}: {error.strerror}") from error
        try:
            self._connection = self._open(file)
        except StoreError:
            self._client.release()
            raise

    @property
    def clients_folder(self) -> Path:
        """Where running clients keep their lock files; only for a database on disk."""
        assert self.file is not None
        return self.file.parent / "clients"

    @property
    def client_name(self) -> str:
        """Name of this client, which marks the answers that it streams."""
        return self._client.name if self._client is not None else "memory"

    def close(self) -> None:
        with self._lock:
            self._connection.close()
            if self._client is not None:
                self._client.release()

    # --- opening --------------------------------------------------------------------------------

    def _open(self, file: Path) -> sqlite3.Connection:
        deadline = time.monotonic() + _BUSY_S
        while True:
            try:
                return self._connect()
            except _NotOurSchema:
                break
            except sqlite3.Error as error:
                # SQLite does not wait when another client switches a new file to WAL mode.
                if _is_busy(error) and time.monotonic() < deadline:
                    time.sleep(0.01)
                    continue
                if not _is_damage(error):
                    raise self.translate(error) from error
                break
        return self._replace_damaged(file)

    def _replace_damaged(self, file: Path) -> sqlite3.Connection:
        """Set the damaged ``file`` aside and open a new one in its place."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        self.damaged_file = file.with_name(f"{file.stem}.damaged-{stamp}{file.suffix}")
        try:
            for suffix in ("", "-wal", "-shm"):
                part = Path(f"{file}{suffix}")
                if part.exists():
                    part.rename(f"{self.damaged_file}{suffix}")
            return self._connect()
        except OSError as error:
            raise StoreError(f"{file} is damaged and cannot be moved: {error.strerror}") from error
        except sqlite3.Error as error:
            raise self.translate(error) from error

    def _connect(self) -> sqlite3.Connection:
        if self.file is not None:
            _ensure_writable(self.file)
        connection = sqlite3.connect(
            self.file or ":memory:",
            isolation_level=None,
            check_same_thread=False,
            timeout=_BUSY_S,
        )
        try:
            self._check_version(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            migrate(connection)
            # Reads the pages where damage would otherwise show only later.
            connection.execute("SELECT count(*), max(updated_at) FROM conversation").fetchone()
            connection.execute("SELECT max(id) FROM message").fetchone()
        except (sqlite3.Error, StoreError, _NotOurSchema):
            connection.close()
            raise
        return connection

    def _check_version(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StoreError(
                f"{self.file} was written by a newer baize-tui (schema {version}; this version "
                f"reads up to {VERSION}). Update baize-tui; the file was not changed"
            )
        if version == 0:  # a new file
            return
        for table, required in _REQUIRED_COLUMNS.items():
            columns = connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
            if not required <= {name for (name,) in columns}:
                raise _NotOurSchema

    # --- reading and writing --------------------------------------------------------------------

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """All rows of ``query``.

        Raises:
            StoreError: the file cannot be read.
        """
        with self._lock:
            try:
                cursor = self._connection.execute(query, values)
                cursor.row_factory = sqlite3.Row
                return cursor.fetchall()
            except sqlite3.Error as error:
                raise self.translate(error) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it is saved, or nothing.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self.translate(error) from error

    @contextlib.contextmanager
    def separate_transaction(self, file: Path, limit_s: float) -> Iterator[sqlite3.Connection]:
        """A write transaction over a connection of its own, for when another thread hangs while it
        uses this database.

        Raises:
            StoreError: the file cannot be written within ``limit_s`` seconds.
        """
        try:
            with contextlib.closing(
                sqlite3.connect(file, isolation_level=None, timeout=limit_s)
            ) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self.translate(error) from error

    def translate(self, error: sqlite3.Error) -> StoreError:
        """``error`` as a kind of ``StoreError`` that names the file."""
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and (
            code & 0xFF == sqlite3.SQLITE_FULL
            # SQLite reports an I/O error when the disk is too full for its shared memory file.
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
        return disk.f_bavail * disk.f_frsize < _FULL_BELOW_BYTES


def _ensure_writable(file: Path) -> None:
    """Create ``file`` readable by its owner alone, or check that it may be written.

    Raises:
        StoreError: no permission.
    """
    if not file.exists():
        try:
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreError(f"{file}: {error.strerror}") from error
    effective = os.access in os.supports_effective_ids
    if not os.access(file, os.W_OK, effective_ids=effective):
        # SQLite would open it read-only and fail at the first write.
        raise StoreError(f"{file}: no permission to write")


def _is_busy(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return not isinstance(error, sqlite3.OperationalError)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
