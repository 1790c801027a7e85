"""Where everything will lie in the output: known before the first weight is read."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGUF_DEFAULT_ALIGNMENT, GGUFWriter

from baize_convert.ggml import row_bytes
from baize_convert.merged_tensors import MergedTensor
from baize_convert.tensor_types import TypeChoice


@dataclass(frozen=True)
class Placed:
    """A tensor with its type and its place in the file."""

    tensor: MergedTensor
    choice: TypeChoice
    offset: int
    """From the start of the file."""

    @property
    def row_bytes(self) -> int:
        return row_bytes(self.choice.type, self.tensor.columns)

    @property
    def bytes(self) -> int:
        return self.tensor.rows * self.row_bytes


@dataclass(frozen=True)
class Layout:
    """The head of the file, its tensors, and its length in bytes."""

    head: bytes
    tensors: tuple[Placed, ...]
    length: int

    @property
    def parameters(self) -> int:
        return sum(math.prod(placed.tensor.shape) for placed in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        return 8 * sum(placed.bytes for placed in self.tensors) / self.parameters


def lay_out(
    writer: GGUFWriter, tensors: Sequence[MergedTensor], types: dict[str, TypeChoice]
) -> Layout:
    """The file that ``writer``'s keys and ``tensors`` of these ``types`` make."""
    for tensor in tensors:
        choice = types[tensor.name]
        size = tensor.rows * row_bytes(choice.type, tensor.columns)
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), size, choice.type)
    head = _head(writer)
    placed, at = [], len(head)
    for tensor in tensors:
        one = Placed(tensor, types[tensor.name], at)
        placed.append(one)
        at = _aligned(at + one.bytes)
    return Layout(head, tuple(placed), at)


def _aligned(offset: int) -> int:
    return -(-offset // GGUF_DEFAULT_ALIGNMENT) * GGUF_DEFAULT_ALIGNMENT


def _head(writer: GGUFWriter) -> bytes:
    """Header, keys and tensor infos, padded to where the data begins."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "head.gguf"
        writer.write_header_to_file(file)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.close()
        head = file.read_bytes()
    return head.ljust(_aligned(len(head)), b"\0")
