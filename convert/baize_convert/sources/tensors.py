"""Tensors whose rows are read as float32, a few at a time, from files or from memory."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baize_convert.failures import ConvertError
from baize_convert.quantization.ggml import Float32
from baize_convert.sources.byte_source import ByteSource

_NUMPY: dict[str, type[np.generic]] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,
    "F8_E4M3": np.uint8,
    "F8_E5M2": np.uint8,
    "F8_E8M0": np.uint8,
    "BOOL": np.bool_,
    "I8": np.int8,
    "U8": np.uint8,
    "I16": np.int16,
    "U16": np.uint16,
    "I32": np.int32,
    "U32": np.uint32,
    "I64": np.int64,
    "U64": np.uint64,
}
_ROWS_AT_ONCE = 1024
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Bytes of a number, for the types that are weights as they are."""
STORED_BYTES = {name: np.dtype(type).itemsize for name, type in _NUMPY.items()}
"""Bytes of an item, for all types whose items are whole bytes."""


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

    @property
    def hub_position(self) -> tuple[str, int]:
        """File and first byte of a tensor on the hub, to read tensors in the order of files."""
        return "", 0

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
        if self.shape != other.shape:
            return False
        starts = list(range(0, self.rows, _ROWS_AT_ONCE))
        # Different tensors mostly differ at their end too: an end takes less time than all.
        for first in starts[-1:] + starts[:-1]:
            count = min(_ROWS_AT_ONCE, self.rows - first)
            if not np.array_equal(self.read(first, count), other.read(first, count)):
                return False
            self.release(first, count)
            other.release(first, count)
        return True


@dataclass(frozen=True)
class StoredTensor(Tensor):
    """A tensor in a file; ``dtype`` is a name of safetensors, readable if it is in ``ITEM_BYTES``.

    ``strides`` are items from one index to the next, per dimension; None if rows are contiguous.
    """

    file: ByteSource
    start: int
    strides: tuple[int, ...] | None = None

    def read(self, first: int = 0, count: int | None = None) -> Float32:
        """Rows ``first`` to ``first + count`` as float32 [count, columns]; F16, BF16 are exact.

        Raises:
            ConvertError: the type is not in ``ITEM_BYTES``.
        """
        return self._as_float32(self.stored(first, count))

    def read_columns(self, first: int, count: int) -> Float32:
        # Cut before the conversion to float32: A of an embedding is as wide as the vocabulary.
        return self._as_float32(self.stored()[:, first : first + count].T)

    def _as_float32(self, values: NDArray[np.generic]) -> Float32:
        if self.dtype not in ITEM_BYTES:
            raise ConvertError(f"{self.file.path}: {self.name} has the type {self.dtype}")
        values = np.ascontiguousarray(values)
        if self.dtype == "BF16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32)

    def stored(self, first: int = 0, count: int | None = None) -> NDArray[np.generic]:
        """Rows in the type of the file, [count, columns]; BF16 and float8 as unsigned integers."""
        count = self.rows - first if count is None else count
        if self.strides is not None:
            return self._strided()[first : first + count]
        item = STORED_BYTES[self.dtype]
        start = self.start + first * self.columns * item
        raw = self.file.array(start, count * self.columns * item)
        return raw.view(_NUMPY[self.dtype]).reshape(count, self.columns)

    def _strided(self) -> NDArray[np.generic]:
        assert self.strides is not None
        item = STORED_BYTES[self.dtype]
        last = sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        raw = self.file.array(self.start, (last + 1) * item).view(_NUMPY[self.dtype])
        view: NDArray[np.generic] = np.lib.stride_tricks.as_strided(
            raw, self.shape, [step * item for step in self.strides], writeable=False
        )
        return view.reshape(-1, self.columns)

    def skip(self) -> None:
        """Announce that this tensor will never be read."""
        if self.strides is None and self.dtype in STORED_BYTES:
            self.file.skip(self.start, self.rows * self.columns * STORED_BYTES[self.dtype])

    @property
    def position(self) -> tuple[str, int]:
        """The file and the first byte in it."""
        return str(self.file.path), self.start

    @property
    def hub_position(self) -> tuple[str, int]:
        return ("", 0) if self.file.is_local else self.position

    def prefetch(self, first: int, count: int) -> None:
        if self.strides is None:
            size = self.columns * STORED_BYTES[self.dtype]
            self.file.prefetch(self.start + first * size, count * size)

    def release(self, first: int, count: int) -> None:
        if self.strides is None:
            size = self.columns * STORED_BYTES[self.dtype]
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
