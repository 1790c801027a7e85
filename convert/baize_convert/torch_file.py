"""PyTorch ``.bin`` files without PyTorch: the zip format and the one before it.

Such a file is a pickle, and a pickle is a program. It is read with an allow-list: every opcode is
looked at before any runs, and the only names that may be called are stubs of this module, which
build descriptions of tensors. Nothing else is imported, and no weight is copied.

Formats: ``torch.save`` and ``torch.load`` of torch/serialization.py.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from baize_convert.failures import ConvertError
from baize_convert.stored_tensors import ITEM_BYTES, ByteSource, MappedFile, StoredTensor

LARGEST_PICKLE = 64 << 20
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
_DTYPES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
}
_OTHER_STORAGES = (
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
    "BoolStorage",
)
# What torch.save writes for dictionaries of tensors, and nothing more.
_OPCODES = frozenset(
    [
        "PROTO",
        "STOP",
        "MARK",
        "EMPTY_DICT",
        "EMPTY_LIST",
        "EMPTY_TUPLE",
        "EMPTY_SET",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "LIST",
        "DICT",
        "APPEND",
        "APPENDS",
        "SETITEM",
        "SETITEMS",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "INT",
        "LONG",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINFLOAT",
        "FLOAT",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "UNICODE",
        "BINSTRING",
        "SHORT_BINSTRING",
        "STRING",
        "BINPUT",
        "LONG_BINPUT",
        "PUT",
        "BINGET",
        "LONG_BINGET",
        "GET",
        "MEMOIZE",
        "FRAME",
        "GLOBAL",
        "STACK_GLOBAL",
        "REDUCE",
        "BUILD",
        "BINPERSID",
    ]
)


@dataclass(frozen=True)
class _StorageKind:
    dtype: str


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    items: int


@dataclass(frozen=True)
class _Tensor:
    """A view into a storage; offset and strides count items."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def _rebuild_tensor(
    storage: object, offset: object, shape: object, stride: object, *_: object
) -> _Tensor:
    if not (
        isinstance(storage, _Storage)
        and isinstance(offset, int)
        and isinstance(shape, tuple)
        and isinstance(stride, tuple)
        and all(isinstance(number, int) for number in (*shape, *stride))
        and len(shape) == len(stride)
    ):
        raise ValueError("a tensor is described wrongly")
    return _Tensor(storage, offset, shape, stride)


def _rebuild_parameter(tensor: object, *_: object) -> object:
    return tensor


_CALLABLE: dict[tuple[str, str], Callable[..., object]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


class _TensorUnpickler(pickle.Unpickler):
    """Knows the stubs above and the kinds of storage; any other name is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and (name in _DTYPES or name in _OTHER_STORAGES):
            return _StorageKind(_DTYPES.get(name, name))
        found = _CALLABLE.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it would call {module}.{name}")
        return found

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", _StorageKind(dtype=dtype), str(key), str(_), int(items), *view) if (
                items >= 0 and view in ([], [None])
            ):
                return _Storage(key, dtype, items)
        raise pickle.UnpicklingError("a storage is described wrongly")


class _Reader:
    """A file that pickle reads byte for byte, so that it stops where its pickle ends."""

    def __init__(self, file: ByteSource, at: int, end: int) -> None:
        self._file, self.at, self._end = file, at, end

    def read(self, size: int = -1) -> bytes:
        size = self._end - self.at if size < 0 else min(size, self._end - self.at)
        self.at += size
        return self._file.read(self.at - size, size)

    def readline(self) -> bytes:
        line = self._file.read(self.at, min(4096, self._end - self.at))
        line = line[: line.find(b"\n") + 1] or line
        self.at += len(line)
        return line


class _Seekable(io.RawIOBase):
    """A source as a file for the zipfile module."""

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
        found = self._file.read(self._at, min(len(buffer), max(len(self._file) - self._at, 0)))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def read_torch_file(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a state dictionary on this machine; see ``parse_torch_file``."""
    return parse_torch_file(MappedFile(path))


def parse_torch_file(file: ByteSource) -> dict[str, StoredTensor]:
    """The tensors of a state dictionary, by name.

    Raises:
        ConvertError: not such a file, damaged, or one that would run code.
    """
    path = file.path
    try:
        if file.read(0, 4) == b"PK\x03\x04":
            return _read_zip(file)
        return _read_legacy(file)
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConvertError(f"{path}: cannot be read as PyTorch weights: {_line(error)}") from error
    except (IndexError, EOFError, struct.error, OverflowError, RecursionError) as error:
        raise ConvertError(f"{path}: the file is truncated or damaged") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ConvertError(f"{path}: not a zip file of PyTorch: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _unpickle(reader: _Reader) -> Any:
    """One pickle, with every opcode looked at before it runs."""
    begin = reader.at
    for count, (opcode, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], reader))):
        if opcode.name not in _OPCODES:
            raise pickle.UnpicklingError(f"it holds the opcode {opcode.name}")
        # A memo of four billion places would take all memory before it is used.
        if opcode.name.endswith("PUT") and int(argument or 0) > count:
            raise pickle.UnpicklingError("its memo is out of order")
        if reader.at - begin > LARGEST_PICKLE:
            raise pickle.UnpicklingError("its description is too long")
    end, reader.at = reader.at, begin
    found = _TensorUnpickler(reader).load()
    reader.at = end
    return found


def _read_zip(file: ByteSource) -> dict[str, StoredTensor]:
    with zipfile.ZipFile(io.BufferedReader(_Seekable(file), 1 << 16)) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("it holds no data.pkl")
        stem = pickles[0].removesuffix("data.pkl")
        places: dict[str, tuple[int, int]] = {}
        for name, info in entries.items():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise ValueError(f"{name} is compressed")
            places[name] = (_data_start(file, info.header_offset), info.file_size)
        order = places.get(f"{stem}byteorder")
        if order is not None and file.read(*order) != b"little":
            raise ValueError("its numbers are big-endian")
    start, size = places[pickles[0]]
    _check_place(file, start, size)
    state = _unpickle(_Reader(file, start, start + size))
    return _tensors(state, file, lambda storage: places[f"{stem}data/{storage.key}"])


def _data_start(file: ByteSource, header: int) -> int:
    """Where an entry's bytes begin: after its local header, a name and an extra field."""
    name, extra = struct.unpack("<HH", file.read(header + 26, 4))
    return header + 30 + int(name) + int(extra)


def _read_legacy(file: ByteSource) -> dict[str, StoredTensor]:
    reader = _Reader(file, 0, len(file))
    if _unpickle(reader) != _LEGACY_MAGIC or _unpickle(reader) != _LEGACY_VERSION:
        raise ValueError("it does not begin as one")
    system = _unpickle(reader)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("its numbers are big-endian")
    state, keys = _unpickle(reader), _unpickle(reader)
    sizes = {storage.key: storage for storage in _storages(state)}
    places: dict[str, tuple[int, int]] = {}
    at = reader.at
    for key in keys:
        storage = sizes[key]
        (items,) = struct.unpack("<q", file.read(at, 8))
        if items != storage.items or storage.dtype not in ITEM_BYTES:
            raise ValueError(f"the storage {key} has another size than its tensors say")
        places[key] = (at + 8, items * ITEM_BYTES[storage.dtype])
        at += 8 + places[key][1]
    return _tensors(state, file, lambda storage: places[storage.key])


def _storages(state: Any) -> list[_Storage]:
    return [tensor.storage for tensor in _views(state).values()]


def _views(state: Any) -> dict[str, _Tensor]:
    if not isinstance(state, dict):
        raise ValueError("it holds no dictionary of tensors")
    return {str(name): value for name, value in state.items() if isinstance(value, _Tensor)}


def _check_place(file: ByteSource, start: int, size: int) -> None:
    if start < 0 or size < 0 or start + size > len(file):
        raise IndexError("beyond the file")


def _tensors(
    state: Any, file: ByteSource, place_of: Callable[[_Storage], tuple[int, int]]
) -> dict[str, StoredTensor]:
    found = {}
    for name, view in _views(state).items():
        start, size = place_of(view.storage)
        _check_place(file, start, size)
        dtype = view.storage.dtype
        if any(number < 0 for number in (view.offset, *view.shape, *view.stride)):
            raise ValueError(f"{name} has a negative size")
        item = ITEM_BYTES.get(dtype)
        if item is None:
            found[name] = StoredTensor(name, dtype, view.shape, file, start)
            continue
        strides = None if _is_contiguous(view) else view.stride
        last = sum((count - 1) * step for count, step in zip(view.shape, view.stride, strict=True))
        items = math.prod(view.shape)
        # Numbers that are there once and shown many times would take all memory when read.
        if items and ((view.offset + last + 1) * item > size or items * item > size):
            raise IndexError(f"{name} goes beyond its storage")
        start += view.offset * item
        found[name] = StoredTensor(name, dtype, view.shape, file, start, strides)
    return found


def _is_contiguous(view: _Tensor) -> bool:
    wanted = 1
    for size, stride in zip(reversed(view.shape), reversed(view.stride), strict=True):
        if size != 1 and stride != wanted:
            return False
        wanted *= size
    return True
