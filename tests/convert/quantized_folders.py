"""Folders of one model with quantized weights, and the float32 weights that they mean."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.convert.model_folders import Array, to_bytes, write_safetensors
from tests.convert.untidy_folders import SINGLE, Stored, set_config, stored, tidy_folder


def decode_float8(code: int, exponent_bits: int) -> float:
    """The number of a float8 code, by the definition of the type (OCP 8-bit floating point)."""
    mantissa_bits = 7 - exponent_bits
    bias = (1 << exponent_bits - 1) - 1
    sign: float = -1.0 if code >> 7 else 1.0
    exponent = code >> mantissa_bits & (1 << exponent_bits) - 1
    mantissa = code & (1 << mantissa_bits) - 1
    if exponent_bits == 4 and code & 0x7F == 0x7F:
        return math.nan
    if exponent_bits == 5 and exponent == 31:
        return math.nan if mantissa else sign * math.inf
    if exponent == 0:
        return math.ldexp(sign * mantissa, 1 - bias - mantissa_bits)
    return math.ldexp(sign * (1 + mantissa / (1 << mantissa_bits)), exponent - bias)


E4M3 = np.array([decode_float8(code, 4) for code in range(256)], np.float32)
E5M2 = np.array([decode_float8(code, 5) for code in range(256)], np.float32)


@dataclass(frozen=True)
class Quantized:
    """What is stored for a weight, by the end of its name, and the weight [rows, columns]."""

    entries: Stored
    weight: Array


def spread(scale: Array, rows: int, columns: int, block: tuple[int, int]) -> Array:
    """A number for each block as one for each weight, [rows, columns]."""
    return np.kron(scale, np.ones(block, np.float32))[:rows, :columns].astype(np.float32)


def pack(values: Array, bits: int) -> Array:
    """Signed integers as I32 along the last dimension, ``pack_to_int32`` of compressed-tensors."""
    factor = 32 // bits
    padded = np.pad(values + 2 ** (bits - 1), ((0, 0), (0, -values.shape[1] % factor)))
    groups = padded.reshape(len(values), -1, factor).astype(np.uint32)
    shifts = np.arange(factor, dtype=np.uint32) * bits
    words: Array = np.bitwise_or.reduce(groups << shifts, axis=2).view(np.int32)
    return words


Make = Callable[[np.random.Generator, int, int], Quantized]


def float8(
    block: tuple[int, int] | None,
    shape: Callable[[int, int], tuple[int, ...]],
    name: str = "weight_scale",
    scale_type: str = "F32",
    codes: str = "F8_E4M3",
) -> Make:
    """Float8 with a scale for each ``block`` (None: all of it), stored in this shape."""

    def make(random: np.random.Generator, rows: int, columns: int) -> Quantized:
        table = E4M3 if codes == "F8_E4M3" else E5M2
        finite = np.flatnonzero(np.isfinite(table)).astype(np.uint8)
        raw = random.choice(finite, (rows, columns))
        height, width = block or (rows, columns)
        size = (min(height, rows), min(width, columns))
        grid = (-(-rows // size[0]), -(-columns // size[1]))
        if scale_type in ("F8_E8M0", "U8"):
            stored_scale = random.integers(110, 125, grid).astype(np.uint8)
            scale = np.ldexp(np.float32(1), stored_scale.astype(int) - 127).astype(np.float32)
            scale_bytes = stored_scale.tobytes()
        else:
            scale = random.uniform(1e-4, 1e-3, grid).astype(np.float32)
            scale_bytes = to_bytes(scale, scale_type)
            if scale_type == "BF16":
                scale = (scale.view(np.uint32) >> 16 << 16).view(np.float32)
        entries = {
            "weight": (codes, (rows, columns), raw.tobytes()),
            name: (scale_type, shape(*grid), scale_bytes),
            "input_scale": ("F32", (1,), b"\0" * 4),
        }
        return Quantized(entries, table[raw] * spread(scale, rows, columns, size))

    return make


def integers(
    bits: int,
    group: int | None,
    *,
    packed: bool,
    zero_points: bool = False,
    by_row: bool = True,
) -> Make:
    """Integers with a scale for each row, group of columns, or the whole tensor."""

    def make(random: np.random.Generator, rows: int, columns: int) -> Quantized:
        least, most = -(2 ** (bits - 1)), 2 ** (bits - 1)
        values = random.integers(least, most, (rows, columns))
        size = (1 if by_row else rows, group or columns)
        grid = (rows if by_row else 1, columns // size[1])
        scale = random.uniform(1e-4, 1e-3, grid).astype(np.float32)
        zeros = random.integers(least, most, grid) if zero_points else np.zeros(grid, int)
        entries: Stored = {"weight_scale": ("F32", grid, to_bytes(scale, "F32"))}
        if packed:
            words = pack(values, bits)
            entries["weight_packed"] = ("I32", words.shape, words.tobytes())
            shape = np.array([rows, columns], np.int64)
            entries["weight_shape"] = ("I64", (2,), shape.tobytes())
        else:
            entries["weight"] = ("I8", (rows, columns), values.astype(np.int8).tobytes())
        if zero_points:
            stored_zeros = pack(zeros.T, bits).T.copy() if packed else zeros.astype(np.int8)
            kind = "I32" if packed else "I8"
            entries["weight_zero_point"] = (kind, stored_zeros.shape, stored_zeros.tobytes())
        centered = (values - spread(zeros, rows, columns, size)).astype(np.float32)
        return Quantized(entries, centered * spread(scale, rows, columns, size))

    return make


KINDS: dict[str, tuple[Make, dict[str, Any]]] = {
    "float8, scale of a tensor": (float8(None, lambda *_: ()), {}),
    "float8, scale of a tensor in a list": (float8(None, lambda *_: (1,)), {}),
    "float8, scale of a row": (float8((1, 512), lambda rows, _: (rows, 1)), {}),
    "float8, scale of a row in a list": (float8((1, 512), lambda rows, _: (rows,)), {}),
    "float8, BF16 scales": (float8((1, 512), lambda *grid: grid, scale_type="BF16"), {}),
    "float8, blocks of 128": (float8((128, 128), lambda *grid: grid, "weight_scale_inv"), {}),
    "float8, blocks of the config": (
        float8((80, 48), lambda *grid: grid, "weight_scale_inv"),
        {"weight_block_size": [80, 48]},
    ),
    "float8, block_structure": (
        float8((48, 80), lambda *grid: grid),
        {"config_groups": {"group_0": {"weights": {"block_structure": [48, 80]}}}},
    ),
    "float8, groups of columns": (float8((1, 32), lambda *grid: grid), {}),
    "float8, E8M0 scales": (
        float8((128, 128), lambda *grid: grid, "weight_scale_inv", "F8_E8M0"),
        {},
    ),
    "MXFP8": (float8((1, 32), lambda *grid: grid, "weight_scale", "U8"), {}),
    "float8 E5M2": (float8(None, lambda *_: (1, 1), codes="F8_E5M2"), {}),
    "int8, scale of a row": (integers(8, None, packed=False), {}),
    "int8, scale of a tensor": (integers(8, None, packed=False, by_row=False), {}),
    "int8, zero points": (integers(8, None, packed=False, zero_points=True), {}),
    "int8, groups": (integers(8, 32, packed=False), {}),
    "packed int4, groups": (integers(4, 32, packed=True), {}),
    "packed int4, scale of a row": (integers(4, None, packed=True), {}),
    "packed int4, zero points": (integers(4, 64, packed=True, zero_points=True), {}),
    "packed int8, groups": (integers(8, 32, packed=True), {}),
    "packed int8, zero points": (integers(8, 32, packed=True, zero_points=True), {}),
}
"""Formats that are read, with the fields of quantization_config that they need."""


def quantized_folder(folder: Path, kind: str, hidden: int = 192, ffn: int = 320) -> Path:
    """A folder with all matrices of the layers in this format, and ``plain`` in it in float32.

    Blocks of 128 do not divide the usual sizes.
    """
    make, fields = KINDS[kind]
    tidy_folder(folder, hidden_size=hidden, intermediate_size=ffn, dtype="F32")
    plain = folder / "plain"
    shutil.copytree(folder, plain)
    random = np.random.default_rng(3)
    tensors, meant = {}, {}
    for name, entry in stored(folder / SINGLE).items():
        if "proj" not in name:
            tensors[name] = meant[name] = entry
            continue
        quantized = make(random, *entry[1])
        module = name.removesuffix(".weight")
        tensors |= {f"{module}.{end}": value for end, value in quantized.entries.items()}
        meant[name] = ("F32", entry[1], to_bytes(quantized.weight, "F32"))
    write_safetensors(folder / SINGLE, tensors)
    write_safetensors(plain / SINGLE, meant)
    set_config(folder, quantization_config={"quant_method": "compressed-tensors", **fields})
    return folder
