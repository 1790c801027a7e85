"""The conversations file itself: open, recover, lock, and run transactions.

SQLite in WAL mode, so that several clients can use one file, and committed writes survive
``kill -9``. A damaged file is set aside, never deleted; the file of a newer program is not touched.
A file that cannot be written, or is on a full disk, can still be read; each attempt to write opens
it again, until that succeeds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from baize_shared.private_files import private_folder
from baize_tui.shared_texts import NAMED, file_error, tr_shared
from baize_tui.store.clients import ClientLock
from baize_tui.store.errors import StoreError, StoreFull, StoreReadOnly
from baize_tui.store.migrations import VERSION, migrate
from baize_tui.store.read_only import copy_to_memory
from baize_tui.translation import msg, tr

_BUSY_S = 5.0
"""How long to wait while another client writes."""
_FULL_BELOW_BYTES = 1 << 16
"""A disk with less free space counts as full."""
_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS)
_REQUIRED_COLUMNS = {"conversation": {"id", "updated_at"}, "message": {"id"}}
"""Columns that every version of the schema has."""


class _NotOurSchema(Exception):
    """The tables are not those of this program."""


NEWER = msg(
    "{file} was written by a newer baize-tui (schema {version}; this version reads up to {known}). "
    "Update baize-tui; the file was not changed"
)


class Database:
    """One open conversations file. All methods may be called from any thread."""

    def __init__(self, file: Path | None) -> None:
        """Open ``file``; create or migrate it if necessary.

        None keeps everything in memory: nothing is written to disk.

        Raises:
            StoreError: no permission to read, or a newer program wrote the file.
        """
        self.file = file
        self.damaged_file: Path | None = None
        """Where a damaged file was moved when this one was opened."""
        self._read_only: StoreError | None = None
        """Why nothing can be saved for now; None if it can."""
        self._openings = 0
        """How often the file was opened to be written."""
        self._lock = threading.RLock()
        self._client: ClientLock | None = None
        if file is None:
            self._connection = self._connect()
            return
        try:
            self._connection = self._open_to_write(file)
        except (StoreFull, StoreReadOnly) as error:
            self._read_only = error
            self._connection = self._open_to_read(file)

    @property
    def why_read_only(self) -> str:
        """Why nothing can be saved, in one line; empty if it can."""
        return "" if self._read_only is None else str(self._read_only)

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
            self._release_client()

    def _release_client(self) -> None:
        if self._client is not None:
            self._client.release()
            self._client = None

    # --- opening --------------------------------------------------------------------------------

    def _open_to_write(self, file: Path) -> sqlite3.Connection:
        """Open ``file`` as a running client.

        Raises:
            StoreError: no permission, the disk is full, or a newer program wrote the file.
        """
        try:
            self._client = self._lock_client(file)
            connection = self._open(file)
        except StoreError:
            self._release_client()
            raise
        self._openings += 1
        return connection

    def _try_to_write_again(self) -> None:
        """Replace what was opened to be read, if the file can be written by now.

        Raises:
            StoreError: it cannot.
        """
        assert self.file is not None
        try:
            connection = self._open_to_write(self.file)
        except (StoreFull, StoreReadOnly) as error:
            self._read_only = error
            raise
        self._connection.close()
        self._connection, self._read_only = connection, None

    def _lock_client(self, file: Path) -> ClientLock:
        try:
            private_folder(file.parent)
            return ClientLock(self.clients_folder)
        except OSError as error:
            raise _translate_os_error(error, file) from error

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

    def _open_to_read(self, file: Path) -> sqlite3.Connection:
        """The conversations in ``file`` as they are now; none if it does not exist."""
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            copy_to_memory(file, memory)
            self._prepare(memory)
            memory.execute("PRAGMA query_only = ON")
            return memory
        except _NotOurSchema as error:
            raise StoreError(tr("{file}: another program's file", file=file)) from error
        except OSError as error:
            raise StoreError(file_error(error.filename or file, error)) from error
        except sqlite3.Error as error:
            raise self.translate(error) from error

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
            why = tr_shared(error.strerror)
            raise StoreError(
                tr("{file} is damaged and cannot be moved: {why}", file=file, why=why)
            ) from error
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
            self._prepare(connection)
        except (sqlite3.Error, StoreError, _NotOurSchema):
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # Another program may have written bytes that are not UTF-8.
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        self._check_version(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        # What is removed or replaced is overwritten: else unused parts of the file would have it.
        connection.execute("PRAGMA secure_delete = ON")
        migrate(connection)
        # Reads the pages where damage would otherwise show only later.
        connection.execute("SELECT count(*), max(updated_at) FROM conversation").fetchone()
        connection.execute("SELECT max(id) FROM message").fetchone()

    def _check_version(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StoreError(tr(NEWER, file=self.file, version=version, known=VERSION))
        if version == 0:  # a new file
            return
        for table, required in _REQUIRED_COLUMNS.items():
            if _kind_of(connection, table) != "table":  # a view can compute without end
                raise _NotOurSchema
            columns = connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
            if not required <= {name for (name,) in columns}:
                raise _NotOurSchema

    # --- reading and writing --------------------------------------------------------------------

    @property
    def version(self) -> int:
        """A number that changes when another client has written to the file."""
        (row,) = self.rows("PRAGMA data_version")
        # Each connection counts anew.
        return self._openings << 32 | int(row["data_version"])

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
            except (sqlite3.Error, UnicodeEncodeError) as error:
                raise self.translate(error) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it is saved, or nothing.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._lock:
            if self._read_only is not None:
                self._try_to_write_again()
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, UnicodeEncodeError) as error:
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

    def overwrite_removed(self) -> None:
        """Bring what was written into the file itself, so that its earlier content is gone there.

        While another client reads or writes, that happens later.

        Raises:
            StoreError: the file cannot be written.
        """
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def copy_to(self, target: Path) -> None:
        """Copy the database to the file ``target``; other clients may write meanwhile.

        Raises:
            StoreError: it cannot be read, or ``target`` cannot be written.
        """
        with self._lock:
            try:
                with contextlib.closing(sqlite3.connect(target)) as copy:
                    self._connection.backup(copy)
            except sqlite3.Error as error:
                raise StoreError(tr(NAMED, name=target, why=error)) from error

    @contextlib.contextmanager
    def attached(self, file: Path, name: str) -> Iterator[None]:
        """Let the tables of another database be read in transactions, as ``name.table``.

        Raises:
            StoreError: ``file`` cannot be read.
        """
        with self._lock:
            try:
                self._connection.execute(f"ATTACH ? AS {name}", (os.fspath(file),))
            except sqlite3.Error as error:
                raise self.translate(error) from error
            try:
                yield
            finally:
                with contextlib.suppress(sqlite3.Error):  # what the block raised says more
                    self._connection.execute(f"DETACH {name}")

    def translate(self, error: sqlite3.Error | UnicodeEncodeError) -> StoreError:
        """``error`` as a kind of ``StoreError`` that names the file."""
        if isinstance(error, UnicodeEncodeError):  # a lone surrogate, as in a name that is no UTF-8
            return StoreError(tr("{text} is not a valid text", text=repr(error.object)))
        if _is_busy(error):
            return StoreError(
                tr("{file}: another program is writing to it; try again", file=self.file)
            )
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and (
            code & 0xFF == sqlite3.SQLITE_FULL
            # SQLite reports an I/O error when the disk is too full for its shared memory file.
            or (code & 0xFF == sqlite3.SQLITE_IOERR and self._disk_is_full())
        ):
            return StoreFull(tr("{file}: no space left on the disk", file=self.file))
        if code is not None and code & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            return StoreReadOnly(
                tr("{file}: no permission to write ({why})", file=self.file, why=error)
            )
        return StoreError(tr(NAMED, name=self.file, why=error))

    def _disk_is_full(self) -> bool:
        if self.file is None:
            return False
        disk = os.statvfs(self.file.parent)
        return disk.f_bavail * disk.f_frsize < _FULL_BELOW_BYTES


def _kind_of(connection: sqlite3.Connection, name: str) -> str:
    query = "SELECT type FROM sqlite_master WHERE name = ? AND type IN ('table', 'view')"
    row = connection.execute(query, (name,)).fetchone()
    return str(row[0]) if row is not None else ""


def _ensure_writable(file: Path) -> None:
    """Create ``file`` readable by its owner alone, or check that it may be written.

    Raises:
        StoreError: no permission, or the disk is full.
    """
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise _translate_os_error(error, file) from error


def _translate_os_error(error: OSError, file: Path) -> StoreError:
    """``error`` of the file or its folder as a kind of ``StoreError``."""
    kind = StoreError
    if error.errno in _FULL_ERRORS:
        kind = StoreFull
    elif error.errno in _READ_ONLY_ERRORS:
        kind = StoreReadOnly
    return kind(file_error(error.filename or file, error))


def _is_busy(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return not isinstance(error, sqlite3.OperationalError)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
