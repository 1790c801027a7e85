"""GGUF files read by the gguf package, with bounds that it does not set itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter, ReaderField
from numpy.typing import NDArray

from baize_convert.failures import ConvertError
from baize_convert.ggml import Float32, GgmlType, dequantize, row_bytes
from baize_convert.stored_tensors import MappedFile, Tensor
from baize_convert.tensor_names import unpermute_rows

_MOST_ENTRIES = 1 << 16
"""Keys, or tensors."""
_LARGEST_ARRAY = 1 << 23
UNQUANTIZED = (GgmlType.F32, GgmlType.F16, GgmlType.BF16)


class _BoundedReader(GGUFReader):
    """A reader that ends at the file's end, however many entries a damaged header promises."""

    def _get(
        self, offset: int, dtype: Any, count: int = 1, override_order: Any = None
    ) -> NDArray[Any]:
        if offset + np.dtype(dtype).itemsize * int(count) > len(self.data):
            raise IndexError("beyond the file")
        found: NDArray[Any] = super()._get(offset, dtype, count, override_order)
        return found

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
    """The header of a GGUF file; its tensors are mapped.

    Raises:
        ConvertError: it is none, or a damaged one.
    """
    try:
        return _BoundedReader(path)
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise ConvertError(f"{path}: not a GGUF file, or a damaged one") from error


def value_of(reader: GGUFReader, key: str) -> Any:
    """The value of a key; None where there is none."""
    field = reader.fields.get(key)
    if field is None:
        return None
    if field.types == [GGUFValueType.STRING]:  # not every one in a damaged file is UTF-8
        return bytes(field.parts[field.data[0]]).decode("utf-8", "replace")
    return field.contents()


def copy_key(writer: GGUFWriter, field: ReaderField) -> None:
    """Add a key of one file to another, byte for byte: not all strings in a file are UTF-8."""
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
    """A tensor of a GGUF file; its rows come in Hugging Face's order, dequantized."""

    file: MappedFile
    start: int
    type: GgmlType
    permuted_heads: int = 0
    """Heads whose rows llama.cpp has interleaved; read then whole heads only."""

    @property
    def row_bytes(self) -> int:
        return row_bytes(self.type, self.columns)

    def packed(self, first: int, count: int) -> NDArray[np.uint8]:
        """Rows as they lie in the file, in its order: bytes [count, row_bytes]."""
        raw = self.file.array(self.start + first * self.row_bytes, count * self.row_bytes)
        return raw.reshape(count, self.row_bytes)

    def read(self, first: int = 0, count: int | None = None) -> Float32:
        count = self.rows - first if count is None else count
        rows = dequantize(self.packed(first, count), self.type, self.columns)
        if not self.permuted_heads:
            return rows
        if len(self.shape) == 1:  # a bias
            return unpermute_rows(rows.reshape(-1, 1), self.permuted_heads).reshape(1, -1)
        heads = count * self.permuted_heads // self.rows
        return unpermute_rows(rows, heads)

    def drop(self, first: int, count: int) -> None:
        self.file.drop(self.start + first * self.row_bytes, count * self.row_bytes)


def gguf_tensors(path: Path, reader: GGUFReader) -> dict[str, GgufTensor]:
    """The tensors of a file by their names in it.

    Raises:
        ConvertError: one lies beyond the file.
    """
    file = MappedFile(path)
    found = {}
    for tensor in reader.tensors:
        start, size = int(tensor.data_offset), int(tensor.n_bytes)
        if start + size > len(file):
            raise ConvertError(f"{path}: {tensor.name} lies beyond the file: it is truncated")
        shape = tuple(int(size) for size in reversed(tensor.shape.tolist()))
        type = GgmlType(tensor.tensor_type)
        found[tensor.name] = GgufTensor(tensor.name, type.name, shape, file, start, type)
    return found
