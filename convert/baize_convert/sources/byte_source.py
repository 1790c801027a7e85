"""Files whose bytes are read in parts, on this machine or elsewhere."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from baize_convert.failures import ConvertError
from baize_shared.regular_files import open_regular


class ByteSource(Protocol):
    """A file that is read in parts, on this machine or on the hub."""

    @property
    def path(self) -> Path:
        """Its path, or its name for messages."""

    @property
    def identity(self) -> str:
        """A text that stays the same only as long as the bytes do."""

    @property
    def is_local(self) -> bool:
        """Whether ``path`` is a file of this machine."""

    @property
    def sha256(self) -> str | None:
        """The hash of the whole file, if it is known without reading it."""

    def __len__(self) -> int: ...

    def read(self, start: int, size: int) -> bytes:
        """``size`` bytes from ``start``, fewer at the end of the file."""

    def array(self, start: int, size: int) -> NDArray[np.uint8]:
        """The same, without a copy where possible."""

    def prefetch(self, start: int, size: int) -> None:
        """Announce that these bytes will be read soon."""

    def release(self, start: int, size: int) -> None:
        """Announce that these bytes are not needed again."""

    def skip(self, start: int, size: int) -> None:
        """Announce that these bytes will never be read."""

    def check_hash(self) -> None:
        """After reading: raise ``ConvertError`` if the bytes do not have the known hash."""

    def close(self) -> None:
        """Release blocked readers: nothing will be read any more."""


class MappedFile:
    """A memory-mapped file: the system decides which pages stay in memory."""

    is_local = True
    sha256: str | None = None

    def __init__(self, path: Path) -> None:
        """Map the file at ``path``.

        Raises:
            ConvertError: the file cannot be read, or is empty.
        """
        self.path = path
        try:
            with open_regular(path) as handle:
                self._map = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise ConvertError(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise ConvertError(f"{path}: the file is empty") from error

    @property
    def identity(self) -> str:
        status = self.path.stat()
        return f"{self.path.resolve()} {status.st_size} {status.st_mtime_ns}"

    def __len__(self) -> int:
        return len(self._map)

    def prefetch(self, start: int, size: int) -> None:
        """The system reads ahead itself."""

    def skip(self, start: int, size: int) -> None:
        """Nothing is read that is not asked for."""

    def check_hash(self) -> None:
        """Local files need no check."""

    def close(self) -> None:
        """Nobody waits for bytes of a local file."""

    def read(self, start: int, size: int) -> bytes:
        return self._map[start : start + size]

    def array(self, start: int, size: int) -> NDArray[np.uint8]:
        """``size`` bytes from ``start``, without a copy."""
        return np.frombuffer(self._map, np.uint8, size, start)

    def release(self, start: int, size: int) -> None:
        """Let the system take these pages out of memory."""
        if hasattr(mmap, "MADV_DONTNEED"):
            first = start // mmap.PAGESIZE * mmap.PAGESIZE
            self._map.madvise(mmap.MADV_DONTNEED, first, start + size - first)
