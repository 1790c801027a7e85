"""The pickles in PyTorch's ``.bin`` files, read without running what they contain.

A pickle is a program for a stack machine. This module runs the few opcodes that ``torch.save``
writes, in a loop of its own: the only names that may be called are stubs, which build descriptions
of tensors; keys are texts or small numbers, so nothing is hashed that takes long; and opcodes,
bytes and copies are counted. Nothing is imported, and no weight is copied.

Opcodes: Lib/pickletools.py of Python.
"""

from __future__ import annotations

import codecs
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
_LARGEST_PICKLE = 16 << 20
"""Bytes; a tensor takes some 200."""
_MOST_STEPS = 1 << 20
"""Opcodes, and items that an opcode copies; a tensor takes some 40."""
_LONGEST_LINE = 4096
_LONGEST_NUMBER = 16
"""Bytes of a whole number; the magic number of the legacy format has 10."""
_MOST_DIMENSIONS = 16
_LARGEST_NUMBER = (1 << 63) - 1
_PAGE = 1 << 16


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


def _rebuild_tensor(*arguments: object) -> TensorView:
    match arguments:
        case (Storage() as storage, int(offset), tuple(shape), tuple(stride), *_) if len(
            shape
        ) == len(stride) <= _MOST_DIMENSIONS and all(
            type(number) is int and 0 <= number <= _LARGEST_NUMBER
            for number in (offset, *shape, *stride)
        ):
            return TensorView(storage, offset, shape, stride)
    raise ValueError("the description of a tensor is invalid")


def _rebuild_parameter(*arguments: object) -> object:
    return arguments[0]


def _ordered_dict(*arguments: object) -> dict[object, object]:
    """Empty, or of a list of pairs, as Python 2 wrote it."""
    result: dict[object, object] = {}
    match arguments:
        case ():
            return result
        case (list(pairs),):
            for pair in pairs:
                key, value = pair
                _set_item(result, key, value)
            return result
    raise ValueError("a dictionary is made of something else than pairs")


_CALLABLE: dict[tuple[str, str], Callable[..., object]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


def _find_name(module: str, name: str) -> object:
    if module == "torch" and (name in _DTYPES or name in _OTHER_STORAGES):
        return _StorageKind(_DTYPES.get(name, name))
    stub = _CALLABLE.get((module, name))
    if stub is None:
        raise pickle.UnpicklingError(f"it would call {module}.{name}")
    return stub


def _find_storage(pid: object) -> Storage:
    match pid:
        case ("storage", _StorageKind(dtype=dtype), str(key), str(_), int(items), *view) if (
            0 <= items <= _LARGEST_NUMBER and view in ([], [None])
        ):
            return Storage(key, dtype, items)
    raise pickle.UnpicklingError("the description of a storage is invalid")


def _set_item(target: object, key: object, value: object) -> None:
    # The hash of a tuple of tuples of tuples can take years to compute.
    if not isinstance(target, dict) or not isinstance(key, str | int):
        raise ValueError("a key of a dictionary is no text")
    target[key] = value


class PickleReader:
    """A range of a file, read a page at a time; ``at`` is the position in the file."""

    def __init__(self, file: ByteSource, at: int, end: int) -> None:
        self._file, self.at, self._end = file, at, end
        self._page, self._page_start = b"", at

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes.

        Raises:
            EOFError: there are fewer.
        """
        first = self.at - self._page_start
        if first + size > len(self._page):
            if not 0 <= size <= min(self._end - self.at, _LARGEST_PICKLE):
                raise EOFError("it is truncated")
            self._page_start, first = self.at, 0
            self._page = self._file.read(self.at, min(max(size, _PAGE), self._end - self.at))
            if len(self._page) < size:
                raise EOFError("it is truncated")
        self.at += size
        return self._page[first : first + size]

    def line(self) -> bytes:
        """The next line, without its end.

        Raises:
            EOFError: it does not end within some thousand bytes.
        """
        start = self.at
        line = self.take(min(_LONGEST_LINE, self._end - start))
        length = line.find(b"\n")
        if length < 0:
            raise EOFError("a line does not end")
        self.at = start + length + 1
        return line[:length]


class _Machine:
    """The stack, the marks in it, and the memo of one pickle."""

    def __init__(self, reader: PickleReader) -> None:
        self.reader = reader
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def count(self, steps: int) -> None:
        self.steps += steps
        if self.steps > _MOST_STEPS:
            raise pickle.UnpicklingError("its description is too long")

    def number(self, format: str) -> Any:
        return struct.unpack(format, self.reader.take(struct.calcsize(format)))[0]

    def text(self, size: int, encoding: str = "utf-8") -> None:
        self.stack.append(self.reader.take(size).decode(encoding))

    def whole_number(self, size: int) -> None:
        if size > _LONGEST_NUMBER:
            raise ValueError("a number is too long")
        self.stack.append(int.from_bytes(self.reader.take(size), "little", signed=True))

    def written_number(self) -> None:
        line = self.reader.line().removesuffix(b"L")
        if len(line) > 2 * _LONGEST_NUMBER:
            raise ValueError("a number is too long")
        booleans = {b"00": False, b"01": True}
        self.stack.append(booleans[line] if line in booleans else int(line))

    def written_text(self) -> None:
        quoted = self.reader.line()
        if len(quoted) < 2 or quoted[:1] != quoted[-1:] or quoted[:1] not in b"'\"":
            raise ValueError("a text has no quotes")
        self.stack.append(codecs.escape_decode(quoted[1:-1])[0].decode("latin-1"))

    def since_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        self.count(len(items))
        return items

    def top_items(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise IndexError("its stack is empty")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("it appends to something that is no list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise ValueError("a key has no value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            _set_item(self.stack[-1], key, value)

    def dictionary(self) -> None:
        items = self.since_mark()
        self.stack.append({})
        self.set_items(items)

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def reduce(self) -> None:
        function, arguments = self.top_items(2)
        if not callable(function) or not isinstance(arguments, tuple):  # only stubs are callable
            raise pickle.UnpicklingError("it calls something that is no function")
        if len(arguments) == 1 and isinstance(arguments[0], list):
            self.count(len(arguments[0]))
        self.stack.append(function(*arguments[:_MOST_DIMENSIONS]))

    def build(self) -> None:
        """Drop the attributes of an object, such as the versions of a state dictionary."""
        self.top_items(1)


def _global_names(machine: _Machine) -> None:
    module, name = machine.reader.line().decode(), machine.reader.line().decode()
    machine.stack.append(_find_name(module, name))


def _stack_names(machine: _Machine) -> None:
    module, name = machine.top_items(2)
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("the name of a function is no text")
    machine.stack.append(_find_name(module, name))


def _push(make: Callable[[], object]) -> Callable[[_Machine], object]:
    return lambda machine: machine.stack.append(make())


# What torch.save writes for dictionaries of tensors, in every protocol, and nothing more.
_OPCODES: dict[bytes, Callable[[_Machine], object]] = {
    pickle.PROTO: lambda m: m.reader.take(1),
    pickle.FRAME: lambda m: m.reader.take(8),
    pickle.MARK: lambda m: m.marks.append(len(m.stack)),
    pickle.EMPTY_DICT: _push(dict),
    pickle.EMPTY_LIST: _push(list),
    pickle.EMPTY_TUPLE: _push(tuple),
    pickle.EMPTY_SET: _push(frozenset),
    pickle.NONE: _push(lambda: None),
    pickle.NEWTRUE: _push(lambda: True),
    pickle.NEWFALSE: _push(lambda: False),
    pickle.TUPLE: lambda m: m.stack.append(tuple(m.since_mark())),
    pickle.TUPLE1: lambda m: m.stack.append(m.top_items(1)),
    pickle.TUPLE2: lambda m: m.stack.append(m.top_items(2)),
    pickle.TUPLE3: lambda m: m.stack.append(m.top_items(3)),
    pickle.LIST: lambda m: m.stack.append(m.since_mark()),
    pickle.DICT: _Machine.dictionary,
    pickle.APPEND: lambda m: m.append(list(m.top_items(1))),
    pickle.APPENDS: lambda m: m.append(m.since_mark()),
    pickle.SETITEM: lambda m: m.set_items(list(m.top_items(2))),
    pickle.SETITEMS: lambda m: m.set_items(m.since_mark()),
    pickle.INT: _Machine.written_number,
    pickle.LONG: _Machine.written_number,
    pickle.BININT: lambda m: m.stack.append(m.number("<i")),
    pickle.BININT1: lambda m: m.stack.append(m.number("<B")),
    pickle.BININT2: lambda m: m.stack.append(m.number("<H")),
    pickle.LONG1: lambda m: m.whole_number(m.number("<B")),
    pickle.BINFLOAT: lambda m: m.stack.append(m.number(">d")),
    pickle.FLOAT: lambda m: m.stack.append(float(m.reader.line()[:100])),
    pickle.BINUNICODE: lambda m: m.text(m.number("<I")),
    pickle.SHORT_BINUNICODE: lambda m: m.text(m.number("<B")),
    pickle.UNICODE: lambda m: m.stack.append(m.reader.line().decode("raw-unicode-escape")),
    pickle.BINSTRING: lambda m: m.text(m.number("<I"), "latin-1"),
    pickle.SHORT_BINSTRING: lambda m: m.text(m.number("<B"), "latin-1"),
    pickle.STRING: _Machine.written_text,
    pickle.BINPUT: lambda m: m.remember(m.number("<B")),
    pickle.LONG_BINPUT: lambda m: m.remember(m.number("<I")),
    pickle.PUT: lambda m: m.remember(int(m.reader.line()[:20])),
    pickle.MEMOIZE: lambda m: m.remember(len(m.memo)),
    pickle.BINGET: lambda m: m.stack.append(m.memo[m.number("<B")]),
    pickle.LONG_BINGET: lambda m: m.stack.append(m.memo[m.number("<I")]),
    pickle.GET: lambda m: m.stack.append(m.memo[int(m.reader.line()[:20])]),
    pickle.GLOBAL: _global_names,
    pickle.STACK_GLOBAL: _stack_names,
    pickle.REDUCE: _Machine.reduce,
    pickle.BUILD: _Machine.build,
    pickle.BINPERSID: lambda m: m.stack.append(_find_storage(m.stack.pop())),
}


def unpickle(reader: PickleReader) -> Any:
    """Load one pickle; ``reader`` then stands at its end.

    Raises:
        pickle.UnpicklingError: an opcode or a name is not allowed, or the pickle is too long.
        ValueError, KeyError, IndexError, EOFError, struct.error: it is damaged.
    """
    machine, begin = _Machine(reader), reader.at
    while (opcode := reader.take(1)) != pickle.STOP:
        run = _OPCODES.get(opcode)
        if run is None:
            raise pickle.UnpicklingError(f"it contains the opcode {opcode!r}")
        machine.count(1)
        run(machine)
        if machine.marks and len(machine.stack) < machine.marks[-1]:
            raise IndexError("its stack is empty")
        if reader.at - begin > _LARGEST_PICKLE:
            raise pickle.UnpicklingError("its description is too long")
    return machine.stack.pop()


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
