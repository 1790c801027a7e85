"""The memory and time of a conversion; the size of slabs keeps the memory under a limit."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

from baize_convert.failures import ConvertError
from baize_convert.output.layout import Layout
from baize_convert.output.merged_tensors import MergedTensor
from baize_convert.quantization.ggml import GgmlType, block_columns, quantize
from baize_shared.usable_cpus import usable_cpus

DEFAULT_MEMORY = 500_000_000
"""Bytes that a conversion may use; mapped files do not count, as the system can release them."""
_RESIDENT = 60_000_000
"""Bytes of the interpreter and its libraries."""
_PER_HEAD_BYTE = 28
"""Bytes in memory for each byte of the head while it is built. Most of it is the vocabulary, with a
string, a number and a list entry for each token and merge."""
_ARRAYS_PER_SLAB = 7
"""Arrays of the size of a slab in float32 that exist at once: read, read ahead, changed, reordered,
quantized, and dequantized to measure the error."""
_LARGEST_SLAB = 8 << 20
_SAMPLE = 1 << 20
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class Budget:
    """Threads that work at once, and the bytes of a slab in float32."""

    resident: int
    """Bytes in use without any slab."""
    workers: int
    slab_bytes: int

    @property
    def peak_bytes(self) -> int:
        """The highest memory use in bytes, mapped files not included."""
        return self.resident + self.workers * _ARRAYS_PER_SLAB * self.slab_bytes

    def slab_rows(self, tensor: MergedTensor) -> int:
        """Rows of a slab: as many as fit, in whole heads where rows are reordered."""
        multiple = tensor.slab_multiple
        return max(self.slab_bytes // (4 * tensor.columns) // multiple, 1) * multiple


def parse_size(text: str) -> int:
    """The bytes in ``1G``, ``800M`` or a plain number.

    Raises:
        ConvertError: ``text`` is not a size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise ConvertError(f"--max-ram {text}: not a size such as 800M or 1G")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def choose_budget(layout: Layout, memory: int = DEFAULT_MEMORY) -> Budget:
    """A thread for each usable processor, and slabs that keep the memory below ``memory`` bytes.

    Raises:
        ConvertError: the smallest slabs of this model take more.
    """
    # A slab is at least one row, or the rows of a head.
    smallest = max(
        4 * placement.tensor.slab_multiple * placement.tensor.columns
        for placement in layout.tensors
    )
    resident = _RESIDENT + _PER_HEAD_BYTE * len(layout.head)
    for workers in range(usable_cpus(), 0, -1):
        slab = (memory - resident) // (workers * _ARRAYS_PER_SLAB)
        if slab >= smallest:
            return Budget(resident, workers, min(slab, max(smallest, _LARGEST_SLAB)))
    least = Budget(resident, 1, smallest).peak_bytes
    needed = f"it takes {math.ceil(least / 1e6)}M"
    if memory < 1_000_000:  # a number without a unit, which was rather meant to be 1G
        raise ConvertError(
            f"--max-ram {memory} is too little for this model: {needed}. A number without M or G "
            "is in bytes"
        )
    raise ConvertError(f"--max-ram {memory / 1e6:.0f}M is too little for this model: {needed}")


def estimated_seconds(layout: Layout, workers: int) -> float:
    """The time on this machine, estimated by quantizing a sample of each type on one core."""
    weights: Counter[GgmlType] = Counter()
    for placement in layout.tensors:
        weights[placement.choice.type] += placement.tensor.rows * placement.tensor.columns
    rows = np.random.default_rng(0).standard_normal((_SAMPLE // 4096, 4096), dtype=np.float32)
    seconds = 0.0
    for type, count in weights.items():
        assert rows.shape[1] % block_columns(type) == 0
        quantize(rows[:1], type)  # the first call builds tables
        began = time.perf_counter()
        # Reading and conversion to float32 are part of the work.
        quantize(rows.astype(np.float16).astype(np.float32), type)
        seconds += count * (time.perf_counter() - began) / rows.size
    return seconds / workers
