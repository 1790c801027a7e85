"""One process at a time trains into a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from baize_shared.file_locks import try_lock
from baize_shared.private_files import private_folder
from baize_train.errors import TrainError


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Create ``folder`` if necessary, and keep other runs out of it while the block lasts. The lock
    ends with the process, however that ends.

    Raises:
        TrainError: the folder cannot be created, or another process has locked it.
    """
    try:
        private_folder(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise TrainError(f"{folder}: {error.strerror}") from error
    try:
        if not try_lock(descriptor):
            raise TrainError(
                f"{folder}: another command trains into this folder: wait for its end, or choose "
                "another --output"
            )
        yield
    finally:
        os.close(descriptor)
