"""The tensors of the output: rows of the base, changed by adapters, in GGUF's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from baize_convert.failures import ConvertError
from baize_convert.lora.adapter import Adapter, TensorPart
from baize_convert.lora.checks import check_adapters
from baize_convert.lora.combination import combine_tensor
from baize_convert.lora.row_changes import RowChange
from baize_convert.quantization.ggml import Bytes, Float32, GgmlType
from baize_convert.sources.checkpoint import Checkpoint
from baize_convert.sources.gguf_file import GgufTensor
from baize_convert.sources.tensor_names import module_names, permute_rows, sort_key
from baize_convert.sources.tensors import ArrayTensor, Tensor


@dataclass(frozen=True)
class MergedTensor:
    """A tensor of the output, whose rows are read, merged and reordered a slab at a time."""

    name: str
    source: Tensor
    changes: tuple[RowChange, ...] = ()
    permuted_heads: int = 0
    shift: float = 0.0
    """What is added to all numbers after the merge."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def rows(self) -> int:
        return self.source.rows

    @property
    def columns(self) -> int:
        return self.source.columns

    @property
    def slab_multiple(self) -> int:
        """The rows of a slab are a multiple of this: a whole head if rows are reordered, else 1."""
        if not self.permuted_heads or len(self.shape) == 1:
            return 1
        return self.rows // self.permuted_heads

    def slab(self, first: int, count: int) -> tuple[Float32, Float32 | None]:
        """Merged rows [count, columns] in GGUF's order, and what adapters added, or None."""
        before = rows = self.source.read(first, count)
        for change in self.changes:
            rows = change.apply(rows, first)
        delta = rows - before if self.changes else None
        if self.shift:
            rows = rows + np.float32(self.shift)
        self.source.release(first, count)
        return self._permuted(rows), None if delta is None else self._permuted(delta)

    def prefetch(self, first: int, count: int) -> None:
        """Announce that these rows will be read soon."""
        self.source.prefetch(first, count)

    def copyable_rows(self, type: GgmlType, first: int, count: int) -> Bytes | None:
        """Unchanged rows of a GGUF that have this type already, as bytes; None for all others."""
        if self.changes or not isinstance(self.source, GgufTensor) or self.source.type != type:
            return None
        return self.source.raw_rows(first, count)

    def _permuted(self, rows: Float32) -> Float32:
        if not self.permuted_heads:
            return rows
        if len(self.shape) == 1:  # a bias: each number is a row
            return permute_rows(rows.reshape(-1, 1), self.permuted_heads).reshape(1, -1)
        return permute_rows(rows, len(rows) // self.slab_multiple)


def merged_tensors(base: Checkpoint, adapters: Sequence[Adapter]) -> list[MergedTensor]:
    """All tensors of the output, in the order of llama-quantize.

    Raises:
        ConvertError: an adapter does not fit the base; every mismatch is named.
    """
    check_adapters(base, adapters)
    tensors = [
        MergedTensor(name, ArrayTensor(name, "F32", values.shape, values))
        for name, values in base.computed.items()
    ]
    parts: tuple[TensorPart, ...] = ("weight", "bias")
    for module in module_names(base.config).values():
        for part in parts:
            combined = combine_tensor(base, adapters, module.source, part)
            if combined is not None:
                name = f"{module.target}.{part}"
                tensors.append(
                    MergedTensor(
                        name,
                        combined.source,
                        combined.changes,
                        module.permuted_heads,
                        module.shift if part == "weight" else 0.0,
                    )
                )
    if base.config.architecture.head == "is shared":
        tensors = _without_head(tensors, base)
    return sorted(tensors, key=lambda tensor: sort_key(tensor.name))


def _without_head(tensors: list[MergedTensor], base: Checkpoint) -> list[MergedTensor]:
    """``tensors`` for an architecture whose head is always the embedding.

    Raises:
        ConvertError: an adapter makes the two different.
    """
    by_name = {tensor.name: tensor for tensor in tensors}
    head, embedding = by_name.pop("output.weight", None), by_name["token_embd.weight"]
    if head is not None and (
        head.changes or embedding.changes or not head.source.equals(embedding.source)
    ):
        name = base.config.architecture.name
        raise ConvertError(
            f"{base.path}: an adapter makes the head and the embedding different, but llama.cpp's "
            f"{name} has one tensor for both: train it with ensure_weight_tying=True"
        )
    return list(by_name.values())
