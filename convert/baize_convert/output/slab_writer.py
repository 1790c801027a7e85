"""Writes slabs of merged rows, quantized, at their offset in the output."""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass, field

import numpy as np

from baize_convert.failures import ConvertError
from baize_convert.journal import WrittenRows
from baize_convert.output.layout import TensorPlacement
from baize_convert.quantization.ggml import Bytes, GgmlType, dequantize, quantize
from baize_convert.quantization.imatrix import ImportanceMatrix
from baize_convert.quantization.loss import QuantizationLoss

_LARGEST_HALF = 65504.0
"""The largest number of F16, which is also the type of the scales of quantized types."""


@dataclass(frozen=True)
class Slab:
    """``count`` rows of a tensor from row ``first`` on."""

    placement: TensorPlacement
    first: int
    count: int


@dataclass
class SlabWriter:
    """Writes slabs to an open file, from several threads and in any order."""

    descriptor: int
    loss: QuantizationLoss
    """Updated with every slab that adapters change."""
    allow_nan: bool
    imatrix: ImportanceMatrix | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, slab: Slab) -> WrittenRows:
        """Read, merge, quantize and write the rows of ``slab``.

        Raises:
            ConvertError: the rows cannot be read, or contain NaN, infinity, or numbers that the
                type of the output makes infinite.
            OSError: they cannot be written.
        """
        with np.errstate(all="ignore"):  # what overflows is reported as infinity, below
            return self._write(slab)

    def _write(self, slab: Slab) -> WrittenRows:
        tensor, type = slab.placement.tensor, slab.placement.choice.type
        copied = tensor.copyable_rows(type, slab.first, slab.count)
        if copied is not None:
            self._put(slab, copied)
            return WrittenRows(tensor.name, slab.first, slab.count)
        rows, delta = tensor.slab(slab.first, slab.count)
        largest = float(max(rows.max(), -rows.min()))  # NaN if there is one
        if not self.allow_nan and not math.isfinite(largest):
            raise ConvertError(
                f"{tensor.name} contains NaN or infinity; --allow-nan writes it all the same"
            )
        importance = None
        if self.imatrix is not None:
            importance = self.imatrix.weights_for(tensor.name, tensor.columns)
        packed = quantize(rows, type, importance)
        if not self.allow_nan and largest > _LARGEST_HALF and _overflows(packed, slab):
            raise ConvertError(
                f"{tensor.name} has numbers up to {largest:.3g}, which are infinite in "
                f"{type.name}: choose --outtype BF16 or F32"
            )
        self._put(slab, packed)
        if delta is None:
            return WrittenRows(tensor.name, slab.first, slab.count)
        squared_error, squared_delta = 0.0, float(np.vdot(delta, delta))
        if type != GgmlType.F32:
            error = dequantize(packed, type, tensor.columns) - rows
            squared_error = float(np.vdot(error, error))
        with self._lock:
            self.loss.add(tensor.name, squared_error, squared_delta)
        return WrittenRows(tensor.name, slab.first, slab.count, squared_error, squared_delta)

    def _put(self, slab: Slab, packed: Bytes) -> None:
        offset = slab.placement.offset + slab.first * slab.placement.row_bytes
        view = packed.data.cast("B")
        while view:
            written = os.pwrite(self.descriptor, view, offset)
            view, offset = view[written:], offset + written


def _overflows(packed: Bytes, slab: Slab) -> bool:
    """Whether numbers became infinite or NaN when they got their type."""
    placement = slab.placement
    numbers = dequantize(packed, placement.choice.type, placement.tensor.columns)
    return not np.isfinite(numbers).all()
