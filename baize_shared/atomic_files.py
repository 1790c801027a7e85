"""Files that are written completely or not at all.

The content goes to a file beside the target, which then takes the target's name. Whatever goes
wrong, and whenever the process ends, the file that was there before is still whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from baize_shared.file_locks import try_lock
from baize_shared.private_files import create_file, open_own_file

_LONGEST_NAME = 200
"""Bytes of the target's name in that of the temporary file; file systems allow 255 in all."""


def write_atomically(target: Path, content: bytes) -> None:
    """Replace the content of ``target``, on disk before this returns.

    The permissions of an existing file stay; a new one is readable only by its owner. A symbolic
    link stays a link. What is not a regular file, such as ``/dev/stdout``, is
    written to directly. Processes that write the same file do not disturb each other: the last one
    wins. What a process left that was killed while it wrote ``target`` is removed.

    Raises:
        OSError: it cannot be written.
    """
    if _is_special(target):
        target.write_bytes(content)
        return
    target = target.resolve()
    _remove_abandoned(target)
    partial, descriptor = _create_partial(target)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _keep_permissions(target, partial)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _create_partial(target: Path) -> tuple[Path, int]:
    """A new file beside ``target`` that is locked as long as its descriptor is open."""
    while True:
        partial = target.with_name(f".{_short_name(target)}.{os.urandom(4).hex()}.partial")
        descriptor = create_file(partial)
        # Another process may take it for an abandoned one before it is locked.
        if try_lock(descriptor) and partial.exists():
            return partial, descriptor
        os.close(descriptor)


def _remove_abandoned(target: Path) -> None:
    """Remove the partial files of ``target`` that no process writes."""
    name = re.compile(rf"\.{re.escape(_short_name(target))}\.[0-9a-f]{{8}}\.partial")
    with contextlib.suppress(OSError):
        for file in [file for file in target.parent.iterdir() if name.fullmatch(file.name)]:
            descriptor = open_own_file(file)
            if descriptor is None:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.unlink()
            except OSError:  # it is written, or may be
                continue
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def replace_when_complete(target: Path) -> Iterator[Path]:
    """A path beside ``target`` to write a large file to; it becomes ``target`` when the block ends.

    It is always ``target.partial``, so that what a killed process left is removed; a very long
    name is cut. It exists already, empty and readable only by its owner; so does a new ``target``.
    An exception removes it. What is not a regular file, such as ``/dev/stdout``, is yielded itself.

    Raises:
        OSError: it cannot be created or renamed.
    """
    if _is_special(target):
        yield target
        return
    target = target.resolve()
    partial = target.with_name(f"{_short_name(target)}.partial")
    os.close(create_file(partial))
    try:
        yield partial
        _keep_permissions(target, partial)
        partial.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _short_name(target: Path) -> str:
    return os.fsdecode(os.fsencode(target.name)[:_LONGEST_NAME])


def _is_special(target: Path) -> bool:
    return target.exists() and not target.is_file()


def _keep_permissions(target: Path, partial: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        partial.chmod(target.stat().st_mode & 0o777)
