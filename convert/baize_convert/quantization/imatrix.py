"""Importance matrices of llama.cpp: how much each column of a tensor matters to the output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGUFWriter

from baize_convert.failures import ConvertError
from baize_convert.quantization.ggml import Float32
from baize_convert.quantization.tensor_types import is_quantizable

_LONGEST_KEY = 127
"""Bytes; llama-quantize cuts values at this length."""


@dataclass(frozen=True)
class ImportanceMatrix:
    """The weights of columns [in] by GGUF tensor name, and the data they were measured on."""

    path: Path
    columns: dict[str, Float32]
    chunks: int = 0
    dataset: str = ""

    def check_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check that this is a matrix for a model with tensors of these ``shapes``.

        Raises:
            ConvertError: it is not; the first tensor that does not fit is named.
        """
        for name, values in self.columns.items():
            if not np.isfinite(values).all():
                raise ConvertError(f"{self.path}: {name} contains NaN or infinity")
            # As in llama-quantize: the rows of an embedding are looked up, not multiplied.
            if name in shapes and len(values) != shapes[name][-1] and name != "token_embd.weight":
                raise ConvertError(
                    f"{self.path} is of another model: {name} has {len(values)} columns there, "
                    f"{shapes[name][-1]} here"
                )
        if not any(name in self.columns for name, shape in shapes.items() if len(shape) > 1):
            raise ConvertError(f"{self.path} is of another model: it names no tensor of this one")

    def uncovered_tensors(self, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        """Tensors in layers that the matrix lacks, and that are quantized without weights."""
        return [
            name
            for name, shape in shapes.items()
            if name.startswith("blk.") and is_quantizable(name, shape) and name not in self.columns
        ]

    def weights_for(self, name: str, columns: int) -> Float32 | None:
        """The weights of the columns of a tensor; None if the matrix does not have them."""
        weights = self.columns.get(name)
        return None if weights is None or len(weights) != columns else weights

    def add_keys(self, writer: GGUFWriter) -> None:
        """Add the keys of llama-quantize, with the name of the file instead of its path."""
        writer.add_string("quantize.imatrix.file", _shortened(self.path.name))
        if self.dataset:
            writer.add_string("quantize.imatrix.dataset", _shortened(self.dataset))
        writer.add_uint32("quantize.imatrix.entries_count", len(self.columns))
        if self.chunks:
            writer.add_uint32("quantize.imatrix.chunks_count", self.chunks)


def _shortened(text: str) -> str:
    return text.encode()[:_LONGEST_KEY].decode("utf-8", "ignore")
