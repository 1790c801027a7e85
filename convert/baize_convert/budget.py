"""What a conversion takes: memory, kept under a limit by the size of the slabs, and time."""

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
"""Bytes that a conversion may take at most; mapped files are the system's, and do not count."""
_RESIDENT = 60_000_000
"""Bytes of the interpreter and its libraries."""
_PER_HEAD_BYTE = 28
"""Bytes that a byte of the file's head takes while it is made: almost all of it is the vocabulary,
which is a text, a number and a place in a list for each token and merge."""
_ARRAYS_PER_SLAB = 7
"""Arrays as large as a slab in float32 that are there at once: what is read, also ahead, added, put
into order, packed, and unpacked again to see what is left."""
_LARGEST_SLAB = 8 << 20
_SAMPLE = 1 << 20
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class Budget:
    """Threads at work at once, and the bytes of a slab in float32."""

    resident: int
    """Bytes that are there without any slab."""
    workers: int
    slab_bytes: int

    @property
    def peak_bytes(self) -> int:
        """Memory at the most, files that are mapped not counted."""
        return self.resident + self.workers * _ARRAYS_PER_SLAB * self.slab_bytes

    def slab_rows(self, tensor: MergedTensor) -> int:
        """Rows of a slab: as many as fit, and whole heads where rows change places."""
        multiple = tensor.slab_multiple
        return max(self.slab_bytes // (4 * tensor.columns) // multiple, 1) * multiple


def parse_size(text: str) -> int:
    """Bytes of ``1G``, ``800M`` or a number.

    Raises:
        ConvertError: it is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise ConvertError(f"--max-ram {text}: not a size such as 800M or 1G")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def choose_budget(layout: Layout, memory: int = DEFAULT_MEMORY) -> Budget:
    """A thread for each usable processor, and slabs that keep all of it below ``memory``.

    Raises:
        ConvertError: the smallest slabs of this model take more.
    """
    # A slab is at least one row, or the rows of a head.
    smallest = max(4 * p.tensor.slab_multiple * p.tensor.columns for p in layout.tensors)
    resident = _RESIDENT + _PER_HEAD_BYTE * len(layout.head)
    for workers in range(usable_cpus(), 0, -1):
        slab = (memory - resident) // (workers * _ARRAYS_PER_SLAB)
        if slab >= smallest:
            return Budget(resident, workers, min(slab, max(smallest, _LARGEST_SLAB)))
    least = Budget(resident, 1, smallest).peak_bytes
    raise ConvertError(
        f"--max-ram {memory / 1e6:.0f}M is too little for this model: it takes "
        f"{math.ceil(least / 1e6)}M"
    )


def estimated_seconds(layout: Layout, workers: int) -> float:
    """How long it will take here, told by quantizing a little of each type on one core."""
    numbers: Counter[GgmlType] = Counter()
    for placed in layout.tensors:
        numbers[placed.choice.type] += placed.tensor.rows * placed.tensor.columns
    rows = np.random.default_rng(0).standard_normal((_SAMPLE // 4096, 4096), dtype=np.float32)
    seconds = 0.0
    for type, count in numbers.items():
        assert rows.shape[1] % block_columns(type) == 0
        quantize(rows[:1], type)  # tables are made at the first use
        began = time.perf_counter()
        # Reading and changing into float32 are part of it.
        quantize(rows.astype(np.float16).astype(np.float32), type)
        seconds += count * (time.perf_counter() - began) / rows.size
    return seconds / workers
