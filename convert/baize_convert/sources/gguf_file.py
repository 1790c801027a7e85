"""GGUF files, read by the gguf package with bounds that it does not check itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter, ReaderField
from numpy.typing import NDArray

from baize_convert.failures import ConvertError
from baize_convert.quantization.ggml import Float32, GgmlType, dequantize, is_readable, row_bytes
from baize_convert.sources.byte_source import MappedFile
from baize_convert.sources.gguf_reader import BoundedReader, array_items
from baize_convert.sources.placeholder_files import refuse_placeholder
from baize_convert.sources.tensor_names import unpermute_rows
from baize_convert.sources.tensors import Tensor

UNQUANTIZED = (GgmlType.F32, GgmlType.F16, GgmlType.BF16)


def read_gguf(path: Path) -> GGUFReader:
    """Read the header of a GGUF file; its tensors are mapped.

    Raises:
        ConvertError: it is not a GGUF file, or damaged.
    """
    try:
        return BoundedReader(path)
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, IndexError, TypeError, ArithmeticError) as error:
        refuse_placeholder(MappedFile(path))
        raise ConvertError(f"{path}: not a GGUF file, or damaged") from error


def read_value(reader: GGUFReader, key: str) -> Any:
    """The value of a key; None if the file does not have the key."""
    field = reader.fields.get(key)
    if field is None:
        return None
    if field.types == [GGUFValueType.STRING]:  # in a damaged file it may not be UTF-8
        return bytes(field.parts[field.data[0]]).decode("utf-8", "replace")
    if field.types[0] == GGUFValueType.ARRAY:
        items = array_items(field)
        return [i.decode("utf-8", "replace") if isinstance(i, bytes) else i for i in items]
    return field.contents()


def read_text(reader: GGUFReader, key: str) -> str | None:
    """The text of a key; None if the file does not have the key.

    Raises:
        ConvertError: it is not a text.
    """
    value = read_value(reader, key)
    if value is None or isinstance(value, str):
        return value
    raise ConvertError(f"{reader.data.filename}: the key {key} is not a text")


def read_number(reader: GGUFReader, key: str) -> int | float | None:
    """The number of a key; None if the file does not have the key.

    Raises:
        ConvertError: it is not a number, or not a finite one.
    """
    value = read_value(reader, key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ConvertError(f"{reader.data.filename}: the key {key} is not a number")


def read_integer(reader: GGUFReader, key: str) -> int | None:
    """The whole number of a key; None if the file does not have the key.

    Raises:
        ConvertError: it is not a whole number.
    """
    value = read_number(reader, key)
    if value is None or isinstance(value, int):
        return value
    raise ConvertError(f"{reader.data.filename}: the key {key} is not a whole number")


def copy_key(writer: GGUFWriter, field: ReaderField) -> None:
    """Add a key of one file to another, byte for byte, as strings may not be UTF-8."""
    kind = field.types[0]
    if kind == GGUFValueType.ARRAY:
        if items := array_items(field):
            writer.add_key_value(field.name, items, kind, field.types[-1])
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
        ConvertError: a tensor ends beyond the file, overlaps another one, or has an impossible
            shape.
    """
    file = MappedFile(path)
    tensors, end = {}, 0
    for tensor in sorted(reader.tensors, key=lambda tensor: tensor.data_offset):
        start, size = int(tensor.data_offset), int(tensor.n_bytes)
        if start + size > len(file):
            raise ConvertError(f"{path}: {tensor.name} ends beyond the file: it is truncated")
        if start < end:
            raise ConvertError(f"{path}: {tensor.name} overlaps another tensor: it is damaged")
        end = start + size
        shape = tuple(int(size) for size in reversed(tensor.shape.tolist()))
        type = tensor.tensor_type
        if not is_readable(type):
            raise ConvertError(f"{path}: {tensor.name} has the type {type.name}: not a weight")
        if not shape or 0 in shape or math.prod(shape[:-1]) * row_bytes(type, shape[-1]) != size:
            raise ConvertError(f"{path}: {tensor.name} does not have the size of its shape")
        tensors[tensor.name] = GgufTensor(tensor.name, type.name, shape, file, start, type)
    return tensors
