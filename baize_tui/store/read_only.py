"""The conversations in memory, for reading where the file cannot be opened for writing.

SQLite needs a place for its shared memory file even to read a database in WAL mode. In a read-only
home, and on a full disk, it has none.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote


def copy_to_memory(file: Path, memory: sqlite3.Connection) -> None:
    """Copy the database ``file`` to ``memory``; nothing is copied if there is none.

    Raises:
        OSError, sqlite3.Error: it cannot be read.
    """
    if not file.exists():
        return
    log = Path(f"{file}-wal")
    if not log.exists() or log.stat().st_size == 0:
        with contextlib.closing(_open_as_it_is(file)) as source:
            source.backup(memory)
        return
    # The last writes of a client that was killed are still in the log.
    try:
        _copy_with_lock(file, memory)
    except sqlite3.Error:
        with _copied(file, log) as copy, contextlib.closing(sqlite3.connect(copy)) as source:
            source.backup(memory)


def _open_as_it_is(file: Path) -> sqlite3.Connection:
    """Open ``file`` without its log, and without any lock."""
    return sqlite3.connect(f"file:{quote(bytes(file))}?mode=ro&immutable=1", uri=True)


def _copy_with_lock(file: Path, memory: sqlite3.Connection) -> None:
    """Copy a file that this process may write: with an exclusive lock, no shared memory is needed.

    That also works on a full disk.
    """
    with contextlib.closing(sqlite3.connect(file)) as source:
        source.execute("PRAGMA locking_mode = EXCLUSIVE")
        source.backup(memory)


@contextlib.contextmanager
def _copied(file: Path, log: Path) -> Iterator[Path]:
    """A copy of ``file`` and its ``log`` in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="baize-") as folder:
        copy = Path(folder) / file.name
        shutil.copyfile(file, copy)
        shutil.copyfile(log, f"{copy}-wal")
        yield copy
