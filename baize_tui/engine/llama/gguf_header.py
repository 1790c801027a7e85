"""The headers of single GGUF files, read by ggml and checked before llama.cpp sees the file."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib

from baize_shared.number_limits import LARGEST_INT
from baize_shared.regular_files import open_regular
from baize_shared.split_files import model_stem
from baize_tui.engine.llama.errors import ModelFileError
from baize_tui.engine.llama.header_rules import HeaderValues, TensorPlace, why_it_aborts
from baize_tui.engine.llama.libraries import ggml_library
from baize_tui.engine.llama.log import forget_errors, reason_from_log
from baize_tui.engine.llama.memory_limit import limited_memory
from baize_tui.engine.protocol import GgufHeader
from baize_tui.shared_texts import file_error
from baize_tui.translation import msg, tr

_GGUF_MAGIC = b"GGUF"
_GGUF_FIXED_HEADER = struct.Struct("<4sIQQ")  # magic, version, tensor count, key-value count
_SMALLEST_KEY_VALUE = 8 + 1 + 4 + 1  # length of the key, one letter, type, one byte of value
_SMALLEST_TENSOR_INFO = 8 + 1 + 4 + 8 + 4 + 8  # name, n_dims, one dim, type, offset
_MOST_MEMORY = 400 << 20
"""Bytes for a header; that of a vocabulary of 262,144 tokens takes some 30 MB."""
GIT_LFS = msg("{path} is a placeholder of Git LFS: 'git lfs pull' fetches the file")
NO_GGUF = msg("{path} is not a GGUF file (it starts with {start})")
CLAIMS = msg(
    "{path} is damaged: its header claims {tensors} tensors and {keys} keys, more than its {size} "
    "bytes can hold"
)
CUT_SHORT = msg(
    "{path} is cut short: tensor {tensor} ends at byte {end}, the file at {size}. Download or copy "
    "it again"
)


class _GgufInitParams(ctypes.Structure):
    _fields_ = [("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p)]


_pointer, _i64, _text = ctypes.c_void_p, ctypes.c_int64, ctypes.c_char_p
_gguf = ggml_library(
    "ggml-base",
    {
        "gguf_init_from_file": (_pointer, [_text, _GgufInitParams]),
        "gguf_free": (None, [_pointer]),
        "gguf_get_data_offset": (ctypes.c_size_t, [_pointer]),
        "gguf_get_n_kv": (_i64, [_pointer]),
        "gguf_get_key": (_text, [_pointer, _i64]),
        "gguf_get_kv_type": (ctypes.c_int, [_pointer, _i64]),
        "gguf_get_arr_n": (ctypes.c_size_t, [_pointer, _i64]),
        "gguf_get_arr_type": (ctypes.c_int, [_pointer, _i64]),
        "gguf_get_arr_data": (_pointer, [_pointer, _i64]),
        "gguf_get_arr_str": (_text, [_pointer, _i64, ctypes.c_size_t]),
        "gguf_get_val_str": (_text, [_pointer, _i64]),
        "gguf_get_val_data": (_pointer, [_pointer, _i64]),
        "gguf_get_n_tensors": (_i64, [_pointer]),
        "gguf_get_tensor_name": (_text, [_pointer, _i64]),
        "gguf_get_tensor_offset": (ctypes.c_size_t, [_pointer, _i64]),
        "gguf_get_tensor_size": (ctypes.c_size_t, [_pointer, _i64]),
        "gguf_get_tensor_ne": (ctypes.POINTER(_i64), [_pointer, _i64]),
        "gguf_get_tensor_type": (ctypes.c_int, [_pointer, _i64]),
    },
)

# The scalars of enum gguf_type, gguf.h
_GGUF_SCALARS: dict[int, Any] = {
    0: ctypes.c_uint8,
    1: ctypes.c_int8,
    2: ctypes.c_uint16,
    3: ctypes.c_int16,
    4: ctypes.c_uint32,
    5: ctypes.c_int32,
    6: ctypes.c_float,
    7: ctypes.c_bool,
    10: ctypes.c_uint64,
    11: ctypes.c_int64,
    12: ctypes.c_double,
}
_GGUF_STRING, _GGUF_ARRAY = 8, 9
_SPLIT_TYPES = {"split.no": 2, "split.count": 2, "split.tensors.count": 5}
"""llama.cpp aborts where a later part has its number in another type (``gguf_get_val_u16``)."""
_LFS_POINTER = b"version https://git-lfs"
_MOST_LAYERS = 512
"""Longest list with a value for each layer."""
_SHORT_ARRAY = 16
"""Longest array whose values are shown; a vocabulary is longer."""
_harmless: set[tuple[str, int, int, int]] = set()
"""Files that keep the rules: a load reads a header several times, and to read a vocabulary of
50,000 tokens takes 30 ms."""


def read_header(path: str) -> GgufHeader:
    """Read and check the header of the GGUF file ``path``; no weight is read.

    Raises:
        ModelFileError: the file is missing, not a GGUF, cut short, or has an impossible header.
    """
    try:
        with open_regular(Path(path)) as file:
            status = os.fstat(file.fileno())
            size = status.st_size
            start = file.read(_GGUF_FIXED_HEADER.size)
    except IsADirectoryError:
        raise ModelFileError(tr("{path} is a folder, not a GGUF file", path=path)) from None
    except OSError as error:
        raise ModelFileError(file_error(path, error)) from error
    if not start:
        raise ModelFileError(tr("{path} is empty", path=path))
    if start.startswith(_LFS_POINTER):
        raise ModelFileError(tr(GIT_LFS, path=path))
    if start[:4] != _GGUF_MAGIC:
        raise ModelFileError(tr(NO_GGUF, path=path, start=repr(start[:4])))
    if len(start) < _GGUF_FIXED_HEADER.size:
        raise ModelFileError(
            tr("{path} is cut short: {size} bytes, not even a header", path=path, size=size)
        )
    _, version, n_tensors, n_keys = _GGUF_FIXED_HEADER.unpack(start)
    if n_keys * _SMALLEST_KEY_VALUE + n_tensors * _SMALLEST_TENSOR_INFO > size:
        raise ModelFileError(tr(CLAIMS, path=path, tensors=n_tensors, keys=n_keys, size=size))
    if version not in (2, 3):
        raise ModelFileError(
            tr(
                "{path} is GGUF version {version}; this program reads 2 and 3",
                path=path,
                version=version,
            )
        )
    with _open_gguf(path) as context:
        header = _read_header(context, path, size)
        identity = (path, status.st_ino, size, status.st_mtime_ns)
        if identity not in _harmless:
            if (why := why_it_aborts(_values(context, header))) is not None:
                raise ModelFileError(tr("{path} is damaged: {why}", path=path, why=why))
            _harmless.add(identity)
        return header


@contextlib.contextmanager
def _open_gguf(path: str) -> Iterator[int]:
    forget_errors()
    with limited_memory(_MOST_MEMORY):
        context = _gguf.gguf_init_from_file(os.fsencode(path), _GgufInitParams(True, None))
    if not context:
        reason = reason_from_log(tr("ggml cannot read its header"))
        raise ModelFileError(tr("{path} is damaged or cut short: {why}", path=path, why=reason))
    try:
        yield context
    finally:
        _gguf.gguf_free(context)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor in the header of a file; ``shape`` is ggml's ``ne``, columns first."""

    name: str
    type: int
    shape: tuple[int, int, int, int]
    bytes: int


def read_tensors(path: str) -> dict[str, TensorInfo]:
    """The tensors of a GGUF file that ``read_header`` has checked, by name."""
    tensors = {}
    with _open_gguf(path) as context:
        for at in range(_gguf.gguf_get_n_tensors(context)):
            name = _gguf.gguf_get_tensor_name(context, at).decode("utf-8", "replace")
            shape = _gguf.gguf_get_tensor_ne(context, at)
            tensors[name] = TensorInfo(
                name,
                _gguf.gguf_get_tensor_type(context, at),
                (shape[0], shape[1], shape[2], shape[3]),
                _gguf.gguf_get_tensor_size(context, at),
            )
    return tensors


def _value_text(context: int, key: int) -> str:
    """The value of a key as text; of an array other than a few strings, its length."""
    kind = _gguf.gguf_get_kv_type(context, key)
    if kind == _GGUF_STRING:
        return (_gguf.gguf_get_val_str(context, key) or b"").decode("utf-8", "replace")
    if kind == _GGUF_ARRAY:
        n = _gguf.gguf_get_arr_n(context, key)
        if n > _SHORT_ARRAY or _gguf.gguf_get_arr_type(context, key) != _GGUF_STRING:
            return f"[{n} values]"
        texts = (_gguf.gguf_get_arr_str(context, key, at) or b"" for at in range(n))
        return ", ".join(text.decode("utf-8", "replace") for text in texts)
    value_type = _GGUF_SCALARS.get(kind)
    if value_type is None:
        return "?"
    return str(value_type.from_address(_gguf.gguf_get_val_data(context, key)).value)


def _natural_number(text: str) -> int | None:
    """The number in ``text``; None if it is none that an ``int32_t`` holds."""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 11 else -1
    return number if 0 <= number <= LARGEST_INT else None


def _read_metadata(context: int, path: str) -> dict[str, str]:
    metadata = {}
    for key in range(_gguf.gguf_get_n_kv(context)):
        name = _gguf.gguf_get_key(context, key).decode("utf-8", "replace")
        kind = _gguf.gguf_get_kv_type(context, key)
        if _SPLIT_TYPES.get(name, kind) != kind:
            raise ModelFileError(
                tr("{path} is damaged: {key} has the wrong type", path=path, key=name)
            )
        metadata[name] = _value_text(context, key)
    return metadata


def _values(context: int, header: GgufHeader) -> HeaderValues:
    """What the rules about ``header`` need."""
    numbers = {}
    for key in range(_gguf.gguf_get_n_kv(context)):
        if (value := _largest_number(context, key)) is not None:
            numbers[_gguf.gguf_get_key(context, key).decode("utf-8", "replace")] = value
    tensors = [
        TensorPlace(
            _gguf.gguf_get_tensor_name(context, at).decode("utf-8", "replace"),
            _gguf.gguf_get_tensor_type(context, at),
            header.data_offset + _gguf.gguf_get_tensor_offset(context, at),
        )
        for at in range(header.tensors)
    ]
    return HeaderValues(
        architecture=header.architecture,
        numbers=numbers,
        texts=header.metadata,
        tensors=tensors,
        tokens=lambda: _array_texts(context, b"tokenizer.ggml.tokens"),
    )


def _largest_number(context: int, key: int) -> float | None:
    """The number of a key, or the largest of a list for each layer; None for anything else."""
    kind = _gguf.gguf_get_kv_type(context, key)
    if kind in _GGUF_SCALARS:
        return float(_GGUF_SCALARS[kind].from_address(_gguf.gguf_get_val_data(context, key)).value)
    if kind != _GGUF_ARRAY:
        return None
    item = _GGUF_SCALARS.get(_gguf.gguf_get_arr_type(context, key))
    count = _gguf.gguf_get_arr_n(context, key)
    if item is None or not 0 < count <= _MOST_LAYERS:
        return None
    return float(max((item * count).from_address(_gguf.gguf_get_arr_data(context, key))))


def _array_texts(context: int, name: bytes) -> list[bytes]:
    """The texts under a key; none if there is no list of texts."""
    for key in range(_gguf.gguf_get_n_kv(context)):
        if _gguf.gguf_get_key(context, key) != name:
            continue
        if _gguf.gguf_get_kv_type(context, key) != _GGUF_ARRAY:
            return []
        if _gguf.gguf_get_arr_type(context, key) != _GGUF_STRING:
            return []
        read = _gguf.gguf_get_arr_str
        return [read(context, key, at) for at in range(_gguf.gguf_get_arr_n(context, key))]
    return []


def _array_length(context: int, name: bytes) -> int:
    """The number of values under a key; 0 if there is no such array."""
    for key in range(_gguf.gguf_get_n_kv(context)):
        is_array = _gguf.gguf_get_kv_type(context, key) == _GGUF_ARRAY
        if is_array and _gguf.gguf_get_key(context, key) == name:
            return int(_gguf.gguf_get_arr_n(context, key))
    return 0


def _count_weights(context: int, path: str, size: int) -> int:
    """The weights of all tensors.

    Raises:
        ModelFileError: one of them ends beyond the file.
    """
    data_offset, weights = _gguf.gguf_get_data_offset(context), 0
    for tensor in range(_gguf.gguf_get_n_tensors(context)):
        end = (
            data_offset
            + _gguf.gguf_get_tensor_offset(context, tensor)
            + _gguf.gguf_get_tensor_size(context, tensor)
        )
        if end > size:
            name = _gguf.gguf_get_tensor_name(context, tensor).decode("utf-8", "replace")
            raise ModelFileError(tr(CUT_SHORT, path=path, tensor=name, end=end, size=size))
        shape = _gguf.gguf_get_tensor_ne(context, tensor)
        weights += shape[0] * shape[1] * shape[2] * shape[3]
    return weights


def _read_header(context: int, path: str, size: int) -> GgufHeader:
    metadata = _read_metadata(context, path)
    architecture = metadata.get("general.architecture", "")

    def number(key: str) -> int:
        return _natural_number(metadata.get(f"{architecture}.{key}", "")) or 0

    file_type = _natural_number(metadata.get("general.file_type", ""))
    type_name = lib.llama_ftype_name(file_type) if file_type is not None else None
    return GgufHeader(
        path=path,
        file_bytes=size,
        architecture=architecture,
        name=metadata.get("general.name", "") or model_stem(Path(path)),
        quantization=(type_name or b"unknown").decode(),
        parameters=_count_weights(context, path, size),
        context_length=number("context_length"),
        layers=number("block_count"),
        embedding=number("embedding_length"),
        heads=number("attention.head_count"),
        heads_kv=number("attention.head_count_kv") or number("attention.head_count"),
        vocabulary=_array_length(context, b"tokenizer.ggml.tokens"),
        tokenizer=metadata.get("tokenizer.ggml.model", ""),
        chat_template=metadata.get("tokenizer.chat_template", ""),
        license=metadata.get("general.license", ""),
        data_offset=_gguf.gguf_get_data_offset(context),
        tensors=_gguf.gguf_get_n_tensors(context),
        metadata=metadata,
    )
