"""PyTorch ``.bin`` files without PyTorch: the zip format and the legacy format before it.

The pickles in them never run code: see ``torch_pickle``.

Formats: ``torch.save`` and ``torch.load`` of torch/serialization.py.
"""

from __future__ import annotations

import math
import pickle
import struct
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
from baize_convert.sources.zip_directory import read_zip_directory

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001


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


def _read_zip(file: ByteSource) -> dict[str, StoredTensor]:
    positions = read_zip_directory(file)
    pickles = [name for name in positions if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError("it contains no data.pkl")
    stem = pickles[0].removesuffix("data.pkl")
    order = positions.get(f"{stem}byteorder")
    if order is not None and (order[1] > 16 or file.read(*order) != b"little"):
        raise ValueError("its numbers are big-endian")
    start, size = positions[pickles[0]]
    state = unpickle(PickleReader(file, start, start + size))
    return _tensors(state, file, lambda storage: positions[f"{stem}data/{storage.key}"])


def _read_legacy(file: ByteSource) -> dict[str, StoredTensor]:
    reader = PickleReader(file, 0, len(file))
    if unpickle(reader) != _LEGACY_MAGIC or unpickle(reader) != _LEGACY_VERSION:
        raise ValueError("it does not begin like one")
    system = unpickle(reader)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("its numbers are big-endian")
    state, keys = unpickle(reader), unpickle(reader)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("the names of its storages are no texts")
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
    views = tensor_views(state)
    if not views and (key := _nested_weights(state)) is not None:
        raise ConvertError(
            f"{file.path}: its weights are inside {key!r}, with the state of a training, where "
            f"transformers and PEFT find none: save torch.load(file)[{key!r}] in its place"
        )
    for name, view in views.items():
        start, size = locate(view.storage)
        _check_range(file, start, size)
        dtype = view.storage.dtype
        item = ITEM_BYTES.get(dtype)
        if item is None:
            tensors[name] = StoredTensor(name, dtype, view.shape, file, start)
            continue
        items = math.prod(view.shape)
        strides = None if items == 0 or is_contiguous(view) else view.stride
        last = sum((count - 1) * step for count, step in zip(view.shape, view.stride, strict=True))
        # A view that repeats stored numbers could take all memory when it is read.
        if items and ((view.offset + last + 1) * item > size or items * item > size):
            raise IndexError(f"{name} ends beyond its storage")
        start += view.offset * item
        tensors[name] = StoredTensor(name, dtype, view.shape, file, start, strides)
    return tensors


def _nested_weights(state: Any) -> str | None:
    """The key under which a checkpoint of a trainer has the weights; None if there is none."""
    for key, value in state.items():
        if isinstance(value, dict) and tensor_views(value):
            return str(key)
    return None
