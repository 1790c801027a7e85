"""Sizes and offsets of everything in the output, computed before any weight is read."""

from __future__ import annotations

import math
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGUF_DEFAULT_ALIGNMENT, GGUFWriter

from baize_convert.failures import ConvertError, reason
from baize_convert.output.merged_tensors import MergedTensor
from baize_convert.quantization.ggml import row_bytes
from baize_convert.quantization.tensor_types import TypeChoice


@dataclass(frozen=True)
class TensorPlacement:
    """A tensor of the output with its type and its offset in the file."""

    tensor: MergedTensor
    choice: TypeChoice
    offset: int
    """Bytes from the start of the file."""

    @property
    def row_bytes(self) -> int:
        return row_bytes(self.choice.type, self.tensor.columns)

    @property
    def bytes(self) -> int:
        return self.tensor.rows * self.row_bytes


@dataclass(frozen=True)
class Layout:
    """The output: its head (header, keys and tensor infos), its tensors and its length in bytes."""

    head: bytes
    tensors: tuple[TensorPlacement, ...]
    length: int

    @property
    def parameters(self) -> int:
        return sum(math.prod(placement.tensor.shape) for placement in self.tensors)

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors, without the head and the padding between tensors."""
        return sum(placement.bytes for placement in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.tensor_bytes / self.parameters


def build_layout(
    writer: GGUFWriter, tensors: Sequence[MergedTensor], types: dict[str, TypeChoice]
) -> Layout:
    """The layout of a file with the keys in ``writer`` and ``tensors`` of these ``types``.

    Raises:
        ConvertError: a key cannot be stored: a text that is no Unicode, or a number that is too
            large for its type.
    """
    for tensor in tensors:
        choice = types[tensor.name]
        size = tensor.rows * row_bytes(choice.type, tensor.columns)
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), size, choice.type)
    try:
        head = _render_head(writer)
    except (UnicodeEncodeError, struct.error, OverflowError, ValueError, TypeError) as error:
        raise ConvertError(f"a key of the output cannot be stored: {reason(error)}") from error
    placements, offset = [], len(head)
    for tensor in tensors:
        placement = TensorPlacement(tensor, types[tensor.name], offset)
        placements.append(placement)
        offset = _aligned(offset + placement.bytes)
    return Layout(head, tuple(placements), offset)


def _aligned(offset: int) -> int:
    return -(-offset // GGUF_DEFAULT_ALIGNMENT) * GGUF_DEFAULT_ALIGNMENT


def _render_head(writer: GGUFWriter) -> bytes:
    """Header, keys and tensor infos as bytes, padded to where the data begins."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "head.gguf"
        writer.write_header_to_file(file)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.close()
        head = file.read_bytes()
    return head.ljust(_aligned(len(head)), b"\0")
