"""Who writes: a lock file per running client, so that a dead client's answers can be told.

A message that streams carries its client's name. The name belongs to a file that the client keeps
locked; the system drops the lock with the process, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path

from baize_tui.paths import private_folder


class Writer:
    """This client's name, locked until ``close`` or the end of the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self.name = uuid.uuid4().hex[:12]
        self._path = self._folder / f"{self.name}.lock"
        self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def is_alive(folder: Path, name: str) -> bool:
    """Whether the client ``name`` still runs; its left-over file is removed when not."""
    path = folder / f"{name}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # not ours to judge
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)
