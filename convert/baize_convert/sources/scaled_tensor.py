"""Quantized tensors that are read as float32: each stored number times the scale of its block.

Formats: ``Fp8Dequantize`` of transformers' integrations/finegrained_fp8.py, and ``_dequantize`` and
``unpack_from_int32`` of compressed-tensors (quantization/lifecycle/forward_helpers.py,
compressors/pack_quantized/helpers.py). The product is computed in float32; compressed-tensors
rounds it to the type of the scales.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from baize_convert.quantization.ggml import Float32
from baize_convert.sources.tensors import ITEM_BYTES, StoredTensor, Tensor

_AT_ONCE = 1 << 14
"""Codes that are looked up at once: numpy makes an index of eight bytes from each."""


def _float8(exponent_bits: int, bias: int) -> Float32:
    """The numbers of a float8 type with a sign bit, by code [256], those of all ones included."""
    codes = np.arange(256)
    mantissa_bits = 7 - exponent_bits
    exponents = (codes >> mantissa_bits) & ((1 << exponent_bits) - 1)
    fractions = (codes & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    normal = np.where(exponents > 0, 1 + fractions, fractions)
    values = normal * 2.0 ** (np.maximum(exponents, 1) - bias)
    signed: Float32 = np.where(codes & 0x80, -values, values).astype(np.float32)
    return signed


def _e4m3() -> Float32:
    table = _float8(4, 7)
    table[[0x7F, 0xFF]] = np.nan
    return table


def _e5m2() -> Float32:
    table = _float8(5, 15)
    table[[0x7C, 0xFC]] = np.inf, -np.inf
    table[[0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF]] = np.nan
    return table


def _e8m0() -> Float32:
    powers = np.ldexp(1.0, np.arange(256) - 127)
    powers[0xFF] = np.nan
    return powers.astype(np.float32)


TABLES = {"F8_E4M3": _e4m3(), "F8_E5M2": _e5m2(), "F8_E8M0": _e8m0()}
"""The number of each code of a type of safetensors, [256]."""


@dataclass(frozen=True)
class BlockValues:
    """A scale or a zero point for each block of ``rows`` x ``columns`` numbers of a tensor.

    ``packed_bits`` is the size of integers that are packed into I32 along the first dimension.
    """

    source: StoredTensor
    shape: tuple[int, int]
    rows: int
    columns: int
    packed_bits: int | None = None

    @cached_property
    def values(self) -> Float32:
        """All of them, as float32 [row blocks, column blocks]."""
        if self.packed_bits is not None:
            words = np.ascontiguousarray(self.source.stored().T)
            return np.ascontiguousarray(_unpacked(words, self.packed_bits)[:, : self.shape[0]].T)
        if self.source.dtype == "U8":  # the exponents of E8M0, without their name
            return _numbers(self.source.stored(), "F8_E8M0").reshape(self.shape)
        if self.source.dtype in ITEM_BYTES:
            return self.source.read().reshape(self.shape)
        return _numbers(self.source.stored(), self.source.dtype).reshape(self.shape)

    def of_rows(self, first: int, count: int) -> Float32:
        """The values of some rows of the tensor, [count or 1, column blocks]."""
        if self.shape[0] == 1:
            return self.values
        blocks = np.arange(first, first + count) // self.rows
        chosen: Float32 = self.values[blocks]
        return chosen


@dataclass(frozen=True)
class ScaledTensor(Tensor):
    """A matrix of float8 or integers, with scales, that is read as float32 [rows, columns].

    ``packed_bits`` is the size of integers that are packed into ``codes`` of the type I32.
    """

    codes: StoredTensor
    scale: BlockValues | None = None
    zero_point: BlockValues | None = None
    packed_bits: int | None = None

    def read(self, first: int = 0, count: int | None = None) -> Float32:
        count = self.rows - first if count is None else count
        stored = self.codes.stored(first, count)
        if self.packed_bits is not None:
            values = np.ascontiguousarray(_unpacked(stored, self.packed_bits)[:, : self.columns])
        else:
            values = _numbers(stored, self.dtype)
        if self.zero_point is not None:
            _in_blocks(np.subtract, values, self.zero_point, first)
        if self.scale is not None:
            _in_blocks(np.multiply, values, self.scale, first)
        return values

    @property
    def hub_position(self) -> tuple[str, int]:
        return self.codes.hub_position

    def prefetch(self, first: int, count: int) -> None:
        self.codes.prefetch(first, count)

    def release(self, first: int, count: int) -> None:
        self.codes.release(first, count)


def _in_blocks(operation: np.ufunc, values: Float32, blocks: BlockValues, first: int) -> None:
    """Apply ``operation`` to ``values`` [count, columns] and the value of each block, in place."""
    of_rows = blocks.of_rows(first, len(values))
    columns = values.shape[1]
    whole = columns // blocks.columns
    end = whole * blocks.columns
    # Blocks as a dimension of their own: repeating the scales would take as much as the values.
    view = values[:, :end].reshape(len(values), whole, blocks.columns)
    if end == columns:
        operation(view, of_rows[:, :whole, None], out=view)
    else:  # the view is a copy
        values[:, :end] = operation(view, of_rows[:, :whole, None]).reshape(len(values), end)
        operation(values[:, end:], of_rows[:, whole:], out=values[:, end:])


def _numbers(codes: NDArray[np.generic], dtype: str) -> Float32:
    """Float8 or integers as float32, in the same shape."""
    table = TABLES.get(dtype)
    if table is None:
        return codes.astype(np.float32)
    values = np.empty(codes.shape, np.float32)
    flat, target = codes.reshape(-1).view(np.uint8), values.reshape(-1)
    for start in range(0, flat.size, _AT_ONCE):
        chunk = slice(start, start + _AT_ONCE)
        np.take(table, flat[chunk], out=target[chunk], mode="clip")  # "clip" is the fastest
    return values


def _unpacked(words: NDArray[np.generic], bits: int) -> Float32:
    """Signed integers of 4 or 8 bits in I32 [rows, words] as float32 [rows, numbers]."""
    raw = np.ascontiguousarray(words).view(np.uint8)
    if bits == 8:
        return raw.astype(np.float32) - np.float32(128)
    values = np.empty((len(raw), 2 * raw.shape[1]), np.float32)
    values[:, 0::2] = raw & 0xF
    values[:, 1::2] = raw >> 4
    values -= np.float32(8)
    return values
