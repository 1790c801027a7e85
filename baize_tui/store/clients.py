"""Which clients run: each has a lock file, so that the answers of a dead client can be recognized.

A streaming message carries the name of its client. A client keeps the file of its name locked; the
system releases the lock when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import re
import uuid
from pathlib import Path

from baize_shared.private_files import private_folder

_NAME = re.compile("[0-9a-f]{12}")


class ClientLock:
    """This client's name, locked until ``release`` or the end of the process."""

    def __init__(self, folder: Path) -> None:
        """Lock a new name in ``folder``, which is created if necessary.

        The files of clients that were killed are removed.

        Raises:
            OSError: the folder or the file cannot be created.
        """
        self._folder = private_folder(folder)
        self._lock_new_name()
        for file in self._folder.glob("*.lock"):
            if file != self._path:
                is_running(self._folder, file.stem)

    def _lock_new_name(self) -> None:
        """Create and lock a file; a client that starts now may remove it before it is locked."""
        while True:
            self.name = uuid.uuid4().hex[:12]
            self._path = self._folder / f"{self.name}.lock"
            self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._descriptor)
                continue
            except OSError:
                os.close(self._descriptor)
                raise
            if self._path.exists():
                return
            os.close(self._descriptor)

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def is_running(folder: Path, name: str) -> bool:
    """Whether the client ``name`` still runs; removes the lock file of one that does not."""
    if not _NAME.fullmatch(name):  # not from here, and perhaps a path to another folder
        return False
    path = folder / f"{name}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it cannot be checked, so its answers are left alone
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)
