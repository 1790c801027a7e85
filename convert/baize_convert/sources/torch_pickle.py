"""The pickles in PyTorch's ``.bin`` files, read without running what they contain.

A pickle is a program. Every opcode is checked against an allow-list before any runs, and the only
names that may be called are stubs of this module, which build descriptions of tensors. Nothing else
is imported, and no weight is copied.
"""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, cast

from baize_convert.sources.byte_source import ByteSource

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
_LARGEST_PICKLE = 64 << 20
"""Bytes; larger ones are refused."""


@dataclass(frozen=True)
class _StorageKind:
    """What ``torch.FloatStorage`` and the like become."""

    dtype: str


@dataclass(frozen=True)
class Storage:
    """A run of ``items`` numbers; ``key`` names it in the file."""

    key: str
    dtype: str
    items: int


@dataclass(frozen=True)
class TensorView:
    """A tensor as a view into a storage; offset and strides count items."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def _rebuild_tensor(
    storage: object, offset: object, shape: object, stride: object, *_: object
) -> TensorView:
    if not (
        isinstance(storage, Storage)
        and isinstance(offset, int)
        and isinstance(shape, tuple)
        and isinstance(stride, tuple)
        and all(isinstance(number, int) for number in (*shape, *stride))
        and len(shape) == len(stride)
    ):
        raise ValueError("the description of a tensor is invalid")
    return TensorView(storage, offset, shape, stride)


def _rebuild_parameter(tensor: object, *_: object) -> object:
    return tensor


_CALLABLE: dict[tuple[str, str], Callable[..., object]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


class _TensorUnpickler(pickle.Unpickler):
    """Resolves the stubs above and the kinds of storage; any other name is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and (name in _DTYPES or name in _OTHER_STORAGES):
            return _StorageKind(_DTYPES.get(name, name))
        stub = _CALLABLE.get((module, name))
        if stub is None:
            raise pickle.UnpicklingError(f"it would call {module}.{name}")
        return stub

    def persistent_load(self, pid: Any) -> Storage:
        match pid:
            case ("storage", _StorageKind(dtype=dtype), str(key), str(_), int(items), *view) if (
                items >= 0 and view in ([], [None])
            ):
                return Storage(key, dtype, items)
        raise pickle.UnpicklingError("the description of a storage is invalid")


class PickleReader:
    """A range of a file as a stream for pickle; ``at`` is the position in the file.

    It is not buffered, so that it stops where the pickle ends.
    """

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


def unpickle(reader: PickleReader) -> Any:
    """Load one pickle after checking every opcode in it; ``reader`` then stands at its end.

    Raises:
        pickle.UnpicklingError: an opcode or a name is not allowed, or the pickle is too long. Other
            exceptions of the pickle module mean that it is damaged.
    """
    begin = reader.at
    for count, (opcode, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], reader))):
        if opcode.name not in _OPCODES:
            raise pickle.UnpicklingError(f"it contains the opcode {opcode.name}")
        # A memo of four billion entries would take all memory before it is used.
        if opcode.name.endswith("PUT") and int(argument or 0) > count:
            raise pickle.UnpicklingError("its memo is out of order")
        if reader.at - begin > _LARGEST_PICKLE:
            raise pickle.UnpicklingError("its description is too long")
    end, reader.at = reader.at, begin
    value = _TensorUnpickler(reader).load()
    reader.at = end
    return value


def tensor_views(state: Any) -> dict[str, TensorView]:
    """The tensors of an unpickled state dictionary, by name."""
    if not isinstance(state, dict):
        raise ValueError("it does not contain a dictionary of tensors")
    return {str(name): value for name, value in state.items() if isinstance(value, TensorView)}


def is_contiguous(view: TensorView) -> bool:
    """Whether rows follow each other without gaps."""
    expected = 1
    for size, stride in zip(reversed(view.shape), reversed(view.stride), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True
