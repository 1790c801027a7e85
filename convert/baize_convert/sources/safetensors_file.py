"""Safetensors: an 8-byte length, a JSON header, and the data.

The library of that name reads whole tensors, and with numpy no bfloat16. Reading a few rows needs
the offsets, so the header is parsed and checked here before any data is read.
"""

from __future__ import annotations

import math
import struct
from typing import Annotated

import msgspec
from msgspec import Meta

from baize_convert.failures import ConvertError
from baize_convert.sources.byte_source import ByteSource
from baize_convert.sources.placeholder_files import refuse_placeholder
from baize_convert.sources.tensors import STORED_BYTES, StoredTensor
from baize_shared.json_errors import JSON_ERRORS

_LARGEST_HEADER = 16 << 20
"""Bytes; a tensor takes some 120. The library takes 100 MB, which become a gigabyte of objects."""
_MOST_DIMENSIONS = 16
_LARGEST_NUMBER = (1 << 63) - 1
_OTHER_TYPES = ("F4", "F6_E2M3", "F6_E3M2", "C64")
"""Further types of the library: such tensors are listed, so that they can be reported by name."""


_Size = Annotated[int, Meta(le=_LARGEST_NUMBER)]


class _RawEntry(msgspec.Struct):
    """A tensor, or ``__metadata__``, whose values are texts under any names."""

    dtype: str | None = None
    shape: list[int] | str | None = None
    data_offsets: tuple[int, int] | str | None = None


class _Entry(msgspec.Struct):
    dtype: str
    shape: Annotated[list[_Size], Meta(max_length=_MOST_DIMENSIONS)]
    data_offsets: tuple[_Size, _Size]


def parse_safetensors(file: ByteSource) -> dict[str, StoredTensor]:
    """The tensors of a file by name; no data is read.

    Raises:
        ConvertError: it is not a safetensors file, truncated or damaged; the tensor is named.
    """
    path = file.path
    refuse_placeholder(file)
    if len(file) < 8:
        raise ConvertError(f"{path}: not a safetensors file, it has {len(file)} bytes")
    (length,) = struct.unpack("<Q", file.read(0, 8))
    if length > min(_LARGEST_HEADER, len(file) - 8):
        raise ConvertError(f"{path}: its header of {length} bytes ends beyond the file")
    try:
        header = msgspec.json.decode(file.read(8, length), type=dict[str, _RawEntry])
        header.pop("__metadata__", None)
        entries = msgspec.convert(header, dict[str, _Entry], from_attributes=True)
    except JSON_ERRORS as error:
        raise ConvertError(f"{path}: its header cannot be read: {error}") from error
    data, size = 8 + length, len(file) - 8 - length
    tensors: dict[str, StoredTensor] = {}
    last_end = 0
    for name, entry in sorted(entries.items(), key=lambda pair: pair[1].data_offsets):
        start, end = entry.data_offsets
        if entry.dtype not in STORED_BYTES and entry.dtype not in _OTHER_TYPES:
            raise ConvertError(f"{path}: {name} has the type {entry.dtype}, which is not supported")
        if any(dimension < 0 for dimension in entry.shape) or not 0 <= start <= end <= size:
            raise ConvertError(f"{path}: {name} is outside the file: it is truncated or damaged")
        if start < last_end:
            raise ConvertError(f"{path}: {name} overlaps another tensor: the file is damaged")
        item = STORED_BYTES.get(entry.dtype)
        if item is not None and math.prod(entry.shape) * item != end - start:
            raise ConvertError(f"{path}: {name} does not have the size of its shape")
        last_end = end
        tensors[name] = StoredTensor(name, entry.dtype, tuple(entry.shape), file, data + start)
    return tensors
