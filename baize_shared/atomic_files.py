"""Files that are written completely or not at all.

The content goes to a file beside the target, which then takes the target's name. Whatever goes
wrong, and whenever the process ends, the file that was there before is still whole.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from baize_shared.private_files import create_file

_LONGEST_NAME = 200
"""Bytes of the target's name in that of the temporary file; file systems allow 255 in all."""


def write_atomically(target: Path, content: bytes) -> None:
    """Replace the content of ``target``, on disk before this returns.

    The permissions of an existing file stay; a new one is readable only by its owner. A symbolic
    link stays a link. What is not a regular file, such as ``/dev/stdout``, is
    written to directly. Processes that write the same file do not disturb each other: the last one
    wins.

    Raises:
        OSError: it cannot be written.
    """
    if _is_special(target):
        target.write_bytes(content)
        return
    target = target.resolve()
    partial = target.with_name(f".{_short_name(target)}.{os.urandom(4).hex()}.partial")
    try:
        descriptor = create_file(partial)
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
