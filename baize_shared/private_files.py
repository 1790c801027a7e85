"""Files and folders that belong to the user alone, created without following a link.

A file with a name that others can guess, such as ``OUTPUT.partial``, may be there already: as a
symbolic link to a file that must not be written, a hard link, a pipe, or another user's file. So a
new file is created exclusively, and an earlier one is resumed only if it is the user's own.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
"""Opening a pipe without a writer would wait forever."""


def create_file(path: Path) -> int:
    """A descriptor to read and write a new file at ``path``, which only its owner can open (0600).

    What had that name is removed first; the file that a link points to stays as it is.

    Raises:
        OSError: it cannot be created, or ``path`` is a folder.
    """
    path.unlink(missing_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600)


def open_own_file(path: Path) -> int | None:
    """A descriptor to read and write a file that an earlier run left at ``path``.

    None if there is none that is safe to write: a regular file of this user, with this name only.

    Raises:
        OSError: it cannot be opened for another reason.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | _NO_FOLLOW | _NO_WAIT)
    except OSError:  # none, a link, a pipe, another user's
        return None
    status = os.fstat(descriptor)
    own = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and own:
        with contextlib.suppress(OSError):  # a file system without permissions
            os.fchmod(descriptor, status.st_mode & 0o700)
        return descriptor
    os.close(descriptor)
    return None


def open_or_create(path: Path) -> int:
    """``open_own_file``, or else ``create_file``.

    Raises:
        OSError: it can be neither opened nor created.
    """
    descriptor = open_own_file(path)
    return create_file(path) if descriptor is None else descriptor


def private_folder(folder: Path) -> Path:
    """Create ``folder`` for its owner alone (0700), with missing parents.

    Raises:
        OSError: the folder cannot be created.
    """
    missing = [folder]
    while not missing[-1].exists() and missing[-1].parent != missing[-1]:
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
    return folder
