"""GGUF files, read by the gguf package with bounds that it does not check itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter, ReaderField
from numpy.typing import NDArray

from baize_convert.failures import ConvertError
from baize_convert.quantization.ggml import Float32, GgmlType, dequantize, row_bytes
from baize_convert.sources.byte_source import MappedFile
from baize_convert.sources.tensor_names import unpermute_rows
from baize_convert.sources.tensors import Tensor

_MOST_ENTRIES = 1 << 16
"""Limit of keys, and of tensors."""
_LARGEST_ARRAY = 1 << 23
UNQUANTIZED = (GgmlType.F32, GgmlType.F16, GgmlType.BF16)


class _BoundedReader(GGUFReader):
    """A reader that stops at the end of the file, whatever counts a damaged header has."""

    def _get(
        self, offset: int, dtype: Any, count: int = 1, override_order: Any = None
    ) -> NDArray[Any]:
        if offset + np.dtype(dtype).itemsize * int(count) > len(self.data):
            raise IndexError("beyond the file")
        values: NDArray[Any] = super()._get(offset, dtype, count, override_order)
        return values

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
        if raw_type == GGUFValueType.ARRAY and self._get(orig_offs + 4, np.uint64)[0] > (
            _LARGEST_ARRAY
        ):
            raise ValueError("an array is too long")
        return super()._get_field_parts(orig_offs, raw_type)

    def _build_fields(self, offs: int, count: int) -> int:
        if count > _MOST_ENTRIES:
            raise ValueError("too many keys")
        return int(super()._build_fields(offs, count))

    def _build_tensor_info(self, offs: int, count: int) -> Any:
        if count > _MOST_ENTRIES:
            raise ValueError("too many tensors")
        return super()._build_tensor_info(offs, count)


def read_gguf(path: Path) -> GGUFReader:
    """Read the header of a GGUF file; its tensors are mapped.

    Raises:
        ConvertError: it is not a GGUF file, or damaged.
    """
    try:
        return _BoundedReader(path)
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise ConvertError(f"{path}: not a GGUF file, or damaged") from error


def read_value(reader: GGUFReader, key: str) -> Any:
    """The value of a key; None if the file does not have the key."""
    field = reader.fields.get(key)
    if field is None:
        return None
    if field.types == [GGUFValueType.STRING]:  # in a damaged file it may not be UTF-8
        return bytes(field.parts[field.data[0]]).decode("utf-8", "replace")
    return field.contents()


def copy_key(writer: GGUFWriter, field: ReaderField) -> None:
    """Add a key of one file to another, byte for byte, as strings may not be UTF-8."""
    kind = field.types[0]
    if kind == GGUFValueType.ARRAY:
        if not field.data:
            return
        inner = field.types[-1]
        parts = [field.parts[at] for at in field.data]
        values = [bytes(p) if inner == GGUFValueType.STRING else p[0].item() for p in parts]
        writer.add_key_value(field.name, values, kind, inner)
    elif kind == GGUFValueType.STRING:
        writer.add_key_value(field.name, bytes(field.parts[field.data[0]]), kind)
    else:
        writer.add_key_value(field.name, field.contents(), kind)


@dataclass(frozen=True)
class GgufTensor(Tensor):
    """A tensor of a GGUF file; rows are read dequantized and in Hugging Face's order."""

    file: MappedFile
    start: int
    type: GgmlType
    permuted_heads: int = 0
    """Heads whose rows are interleaved in the file; if not 0, only whole heads can be read."""
    shift: float = 0.0
    """What the file has more than the Hugging Face model: 1 for Gemma's norms."""

    @property
    def row_bytes(self) -> int:
        return row_bytes(self.type, self.columns)

    def raw_rows(self, first: int, count: int) -> NDArray[np.uint8]:
        """Rows in the type and order of the file: bytes [count, row_bytes]."""
        raw = self.file.array(self.start + first * self.row_bytes, count * self.row_bytes)
        return raw.reshape(count, self.row_bytes)

    def read(self, first: int = 0, count: int | None = None) -> Float32:
        count = self.rows - first if count is None else count
        rows = dequantize(self.raw_rows(first, count), self.type, self.columns)
        if self.shift:
            rows = rows - np.float32(self.shift)
        if not self.permuted_heads:
            return rows
        if len(self.shape) == 1:  # a bias
            return unpermute_rows(rows.reshape(-1, 1), self.permuted_heads).reshape(1, -1)
        heads = count * self.permuted_heads // self.rows
        return unpermute_rows(rows, heads)

    def release(self, first: int, count: int) -> None:
        self.file.release(self.start + first * self.row_bytes, count * self.row_bytes)


def gguf_tensors(path: Path, reader: GGUFReader) -> dict[str, GgufTensor]:
    """The tensors of a file by GGUF name.

    Raises:
        ConvertError: a tensor ends beyond the file.
    """
    file = MappedFile(path)
    tensors = {}
    for tensor in reader.tensors:
        start, size = int(tensor.data_offset), int(tensor.n_bytes)
        if start + size > len(file):
            raise ConvertError(f"{path}: {tensor.name} ends beyond the file: it is truncated")
        shape = tuple(int(size) for size in reversed(tensor.shape.tolist()))
        type = GgmlType(tensor.tensor_type)
        tensors[tensor.name] = GgufTensor(tensor.name, type.name, shape, file, start, type)
    return tensors
