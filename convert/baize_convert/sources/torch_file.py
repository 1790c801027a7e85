"""PyTorch ``.bin`` files without PyTorch: the zip format and the legacy format before it.

The pickles in them never run code: see ``torch_pickle``.

Formats: ``torch.save`` and ``torch.load`` of torch/serialization.py.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from baize_convert.failures import ConvertError, reason
from baize_convert.sources.byte_source import ByteSource
from baize_convert.sources.placeholder_files import refuse_placeholder
from baize_convert.sources.tensors import ITEM_BYTES, StoredTensor
from baize_convert.sources.torch_pickle import (
    PickleReader,
    Storage,
    is_contiguous,
    tensor_views,
    unpickle,
)

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001


class _Seekable(io.RawIOBase):
    """A ``ByteSource`` as a file for the zipfile module."""

    def __init__(self, file: ByteSource) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._file)}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), max(len(self._file) - self._at, 0))
        buffer[:size] = self._file.read(self._at, size)
        self._at += size
        return size


def parse_torch_file(file: ByteSource) -> dict[str, StoredTensor]:
    """The tensors of a state dictionary by name; no weight is read.

    Raises:
        ConvertError: not a PyTorch file, damaged, or one that would run code.
    """
    path = file.path
    refuse_placeholder(file)
    try:
        if file.read(0, 4) == b"PK\x03\x04":
            return _read_zip(file)
        return _read_legacy(file)
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConvertError(f"{path}: cannot be read as PyTorch weights: {reason(error)}") from error
    except (IndexError, EOFError, struct.error, OverflowError, RecursionError) as error:
        raise ConvertError(f"{path}: the file is truncated or damaged") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ConvertError(f"{path}: not a zip file of PyTorch: {reason(error)}") from error


def _read_zip(file: ByteSource) -> dict[str, StoredTensor]:
    with zipfile.ZipFile(io.BufferedReader(_Seekable(file), 1 << 16)) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("it contains no data.pkl")
        stem = pickles[0].removesuffix("data.pkl")
        positions: dict[str, tuple[int, int]] = {}
        for name, info in entries.items():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise ValueError(f"{name} is compressed")
            positions[name] = (_data_start(file, info.header_offset), info.file_size)
        order = positions.get(f"{stem}byteorder")
        if order is not None and file.read(*order) != b"little":
            raise ValueError("its numbers are big-endian")
    start, size = positions[pickles[0]]
    _check_range(file, start, size)
    state = unpickle(PickleReader(file, start, start + size))
    return _tensors(state, file, lambda storage: positions[f"{stem}data/{storage.key}"])


def _data_start(file: ByteSource, header: int) -> int:
    """Where an entry's bytes begin: after its local header, a name and an extra field."""
    name, extra = struct.unpack("<HH", file.read(header + 26, 4))
    return header + 30 + int(name) + int(extra)


def _read_legacy(file: ByteSource) -> dict[str, StoredTensor]:
    reader = PickleReader(file, 0, len(file))
    if unpickle(reader) != _LEGACY_MAGIC or unpickle(reader) != _LEGACY_VERSION:
        raise ValueError("it does not begin like one")
    system = unpickle(reader)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("its numbers are big-endian")
    state, keys = unpickle(reader), unpickle(reader)
    storages = {view.storage.key: view.storage for view in tensor_views(state).values()}
    positions: dict[str, tuple[int, int]] = {}
    at = reader.at
    for key in keys:
        storage = storages[key]
        (items,) = struct.unpack("<q", file.read(at, 8))
        if items != storage.items or storage.dtype not in ITEM_BYTES:
            raise ValueError(f"the storage {key} contradicts the size in its tensors")
        positions[key] = (at + 8, items * ITEM_BYTES[storage.dtype])
        at += 8 + positions[key][1]
    return _tensors(state, file, lambda storage: positions[storage.key])


def _check_range(file: ByteSource, start: int, size: int) -> None:
    if start < 0 or size < 0 or start + size > len(file):
        raise IndexError("beyond the file")


def _tensors(
    state: Any, file: ByteSource, locate: Callable[[Storage], tuple[int, int]]
) -> dict[str, StoredTensor]:
    tensors = {}
    for name, view in tensor_views(state).items():
        start, size = locate(view.storage)
        _check_range(file, start, size)
        dtype = view.storage.dtype
        if any(number < 0 for number in (view.offset, *view.shape, *view.stride)):
            raise ValueError(f"{name} has a negative size")
        item = ITEM_BYTES.get(dtype)
        if item is None:
            tensors[name] = StoredTensor(name, dtype, view.shape, file, start)
            continue
        strides = None if is_contiguous(view) else view.stride
        last = sum((count - 1) * step for count, step in zip(view.shape, view.stride, strict=True))
        items = math.prod(view.shape)
        # A view that repeats stored numbers could take all memory when it is read.
        if items and ((view.offset + last + 1) * item > size or items * item > size):
            raise IndexError(f"{name} ends beyond its storage")
        start += view.offset * item
        tensors[name] = StoredTensor(name, dtype, view.shape, file, start, strides)
    return tensors
