"""Tensors whose rows are read as float32, a few at a time, from files or from memory."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baize_convert.quantization.ggml import Float32
from baize_convert.sources.byte_source import ByteSource

_NUMPY = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_ROWS_AT_ONCE = 1024
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True)
class Tensor(ABC):
    """A matrix of rows, or a vector; ``dtype`` is the name of its type in the file it is from."""

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

    def prefetch(self, first: int, count: int) -> None:  # noqa: B027 - optional
        """Announce rows that will be read soon."""

    def release(self, first: int, count: int) -> None:  # noqa: B027 - optional
        """Announce rows that are not needed again."""

    def read_columns(self, first: int, count: int) -> Float32:
        """Columns ``first`` to ``first + count``, each as a row: [count, rows]."""
        return np.ascontiguousarray(self.read()[:, first : first + count].T)

    def read_all(self) -> Float32:
        """The whole tensor in its own shape."""
        return self.read().reshape(self.shape)

    def equals(self, other: Tensor) -> bool:
        """Whether both have the same shape and the same numbers."""
        return self.shape == other.shape and all(
            np.array_equal(self.read(first, count), other.read(first, count))
            for first in range(0, self.rows, _ROWS_AT_ONCE)
            if (count := min(_ROWS_AT_ONCE, self.rows - first))
        )


@dataclass(frozen=True)
class StoredTensor(Tensor):
    """A tensor in a file; ``dtype`` is a name of safetensors, readable if it is in ``ITEM_BYTES``.

    ``strides`` are items from one index to the next, per dimension; None if rows are contiguous.
    """

    file: ByteSource
    start: int
    strides: tuple[int, ...] | None = None

    def read(self, first: int = 0, count: int | None = None) -> Float32:
        """Rows ``first`` to ``first + count`` as float32 [count, columns]; F16, BF16 are exact."""
        return self._as_float32(self._stored(first, self.rows - first if count is None else count))

    def read_columns(self, first: int, count: int) -> Float32:
        # Cut before the conversion to float32: A of an embedding is as wide as the vocabulary.
        return self._as_float32(self._stored(0, self.rows)[:, first : first + count].T)

    def _as_float32(self, values: NDArray[np.generic]) -> Float32:
        values = np.ascontiguousarray(values)
        if self.dtype == "BF16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32)

    def _stored(self, first: int, count: int) -> NDArray[np.generic]:
        """Rows in the type of the file, [count, columns]."""
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

    def skip(self) -> None:
        """Announce that this tensor will never be read."""
        if self.strides is None and self.dtype in ITEM_BYTES:
            self.file.skip(self.start, self.rows * self.columns * ITEM_BYTES[self.dtype])

    @property
    def position(self) -> tuple[str, int]:
        """The file and the first byte in it."""
        return str(self.file.path), self.start

    def prefetch(self, first: int, count: int) -> None:
        if self.strides is None:
            size = self.columns * ITEM_BYTES[self.dtype]
            self.file.prefetch(self.start + first * size, count * size)

    def release(self, first: int, count: int) -> None:
        if self.strides is None:
            size = self.columns * ITEM_BYTES[self.dtype]
            self.file.release(self.start + first * size, count * size)


@dataclass(frozen=True)
class ArrayTensor(Tensor):
    """A tensor in memory, whose numbers are in no file in this form."""

    values: Float32

    def read(self, first: int = 0, count: int | None = None) -> Float32:
        rows = self.values.reshape(-1, self.columns)
        return rows[first:] if count is None else rows[first : first + count]


def transposed(matrix: Tensor) -> ArrayTensor:
    """The transpose of a matrix, in memory."""
    values = np.ascontiguousarray(matrix.read().T)
    return ArrayTensor(matrix.name, matrix.dtype, values.shape, values)
