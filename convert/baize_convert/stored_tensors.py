"""Tensors whose rows are read as float32 a slab at a time, wherever they lie."""

from __future__ import annotations

import math
import mmap
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from baize_convert.failures import ConvertError
from baize_convert.ggml import Float32

_NUMPY = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_ROWS_AT_ONCE = 1024
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


class ByteSource(Protocol):
    """A file that parts are read of, wherever it lies."""

    @property
    def path(self) -> Path:
        """Its place, or its name for messages."""

    @property
    def identity(self) -> str:
        """A text that stays the same only while the bytes do."""

    @property
    def is_local(self) -> bool:
        """Whether ``path`` is a file of this machine."""

    @property
    def sha256(self) -> str | None:
        """The hash of all of it, where it is known without reading it."""

    def __len__(self) -> int: ...

    def read(self, start: int, size: int) -> bytes:
        """``size`` bytes from ``start``, fewer at the end of the file."""

    def array(self, start: int, size: int) -> NDArray[np.uint8]:
        """The same, without a copy where that is possible."""

    def prefetch(self, start: int, size: int) -> None:
        """These bytes will be read soon."""

    def drop(self, start: int, size: int) -> None:
        """These bytes are not needed again."""

    def pass_over(self, start: int, size: int) -> None:
        """These bytes will never be read."""

    def check(self) -> None:
        """All has been read: raise ``ConvertError`` where it is not what it should be."""

    def close(self) -> None:
        """Nothing will be read any more: who waits for bytes need not wait on."""


class MappedFile:
    """A file read where it lies: mapped, so that its pages are the system's to keep or drop."""

    is_local = True
    sha256: str | None = None

    def __init__(self, path: Path) -> None:
        """Map ``path``.

        Raises:
            ConvertError: it cannot be read, or is empty.
        """
        self.path = path
        try:
            with path.open("rb") as handle:
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
        """The system reads ahead by itself."""

    def pass_over(self, start: int, size: int) -> None:
        """It costs nothing to have them."""

    def check(self) -> None:
        """It is what it is."""

    def close(self) -> None:
        """Nobody waits for what is at hand."""

    def read(self, start: int, size: int) -> bytes:
        return self._map[start : start + size]

    def array(self, start: int, size: int) -> NDArray[np.uint8]:
        """``size`` bytes from ``start``, without a copy."""
        return np.frombuffer(self._map, np.uint8, size, start)

    def drop(self, start: int, size: int) -> None:
        """Pages that are not needed again need not stay in memory."""
        if hasattr(mmap, "MADV_DONTNEED"):
            first = start // mmap.PAGESIZE * mmap.PAGESIZE
            self._map.madvise(mmap.MADV_DONTNEED, first, start + size - first)


@dataclass(frozen=True)
class Tensor(ABC):
    """``shape`` is rows first; ``dtype`` is the name that its file has for its numbers."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def columns(self) -> int:
        return self.shape[-1] if self.shape else 1

    @property
    def rows(self) -> int:
        return math.prod(self.shape[:-1])

    @abstractmethod
    def read(self, first: int = 0, count: int | None = None) -> Float32:
        """Rows ``first`` to ``first + count`` as float32 [count, columns]."""

    def prefetch(self, first: int, count: int) -> None:  # noqa: B027 - most files are at hand
        """Rows that will be read soon."""

    def drop(self, first: int, count: int) -> None:  # noqa: B027 - for most there is nothing to do
        """Rows that were read and are not needed again."""

    def read_columns(self, first: int, count: int) -> Float32:
        """Columns ``first`` to ``first + count``, each as a row: [count, rows]."""
        return np.ascontiguousarray(self.read()[:, first : first + count].T)

    def read_all(self) -> Float32:
        """The whole tensor in its own shape."""
        return self.read().reshape(self.shape)

    def equals(self, other: Tensor) -> bool:
        """Whether both hold the same numbers."""
        return self.shape == other.shape and all(
            np.array_equal(self.read(first, count), other.read(first, count))
            for first in range(0, self.rows, _ROWS_AT_ONCE)
            if (count := min(_ROWS_AT_ONCE, self.rows - first))
        )


@dataclass(frozen=True)
class StoredTensor(Tensor):
    """Numbers in a file; ``dtype`` is a name of safetensors: F64, F32, F16 or BF16.

    ``strides`` (items from one index to the next, per dimension) is None where row follows row.
    """

    file: ByteSource
    start: int
    strides: tuple[int, ...] | None = None

    def read(self, first: int = 0, count: int | None = None) -> Float32:
        """Rows ``first`` to ``first + count`` as float32 [count, columns]; F16, BF16 are exact."""
        return self._as_float32(self._stored(first, self.rows - first if count is None else count))

    def read_columns(self, first: int, count: int) -> Float32:
        # Cut before it is changed into float32: A of an embedding is as wide as the vocabulary.
        return self._as_float32(self._stored(0, self.rows)[:, first : first + count].T)

    def _as_float32(self, values: NDArray[np.generic]) -> Float32:
        values = np.ascontiguousarray(values)
        if self.dtype == "BF16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32)

    def _stored(self, first: int, count: int) -> NDArray[np.generic]:
        """Rows as they are in the file, [count, columns]."""
        if self.strides is not None:
            return self._strided()[first : first + count]
        item = ITEM_BYTES[self.dtype]
        start = self.start + first * self.columns * item
        raw = self.file.array(start, count * self.columns * item)
        return raw.view(_NUMPY[self.dtype]).reshape(count, self.columns)

    def _strided(self) -> NDArray[np.generic]:
        assert self.strides is not None
        item = ITEM_BYTES[self.dtype]
        last = sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        raw = self.file.array(self.start, (last + 1) * item).view(_NUMPY[self.dtype])
        view: NDArray[np.generic] = np.lib.stride_tricks.as_strided(
            raw, self.shape, [step * item for step in self.strides], writeable=False
        )
        return view.reshape(-1, self.columns)

    def pass_over(self) -> None:
        """It will never be read."""
        if self.strides is None and self.dtype in ITEM_BYTES:
            self.file.pass_over(self.start, self.rows * self.columns * ITEM_BYTES[self.dtype])

    @property
    def place(self) -> tuple[str, int]:
        """File and first byte."""
        return str(self.file.path), self.start

    def prefetch(self, first: int, count: int) -> None:
        if self.strides is None:
            size = self.columns * ITEM_BYTES[self.dtype]
            self.file.prefetch(self.start + first * size, count * size)

    def drop(self, first: int, count: int) -> None:
        if self.strides is None:
            size = self.columns * ITEM_BYTES[self.dtype]
            self.file.drop(self.start + first * size, count * size)


@dataclass(frozen=True)
class ArrayTensor(Tensor):
    """Numbers that stand in no file as they are needed."""

    values: Float32

    def read(self, first: int = 0, count: int | None = None) -> Float32:
        rows = self.values.reshape(-1, self.columns)
        return rows[first:] if count is None else rows[first : first + count]
