"""ggml's own quantizers, called with ctypes in the libggml that llama-cpp-python ships.

llama-quantize calls the same C functions (``ggml_quantize_chunk`` in ggml.c), so the bytes are the
same. ctypes releases the GIL while they run, so threads use all cores.
"""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from numpy.typing import NDArray

from baize_convert.failures import ConvertError

GgmlType = GGMLQuantizationType
Float32 = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@cache
def _library() -> Any:
    spec = importlib.util.find_spec("llama_cpp")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        for name in ("libggml-base.so", "libggml-base.dylib", "ggml-base.dll"):
            file = Path(folder) / "lib" / name
            if file.is_file():
                library = ctypes.CDLL(str(file))
                library.ggml_quantize_chunk.restype = ctypes.c_size_t
                library.ggml_quantize_chunk.argtypes = [
                    ctypes.c_int,
                    ctypes.c_void_p,
                    ctypes.c_void_p,
                    ctypes.c_int64,
                    ctypes.c_int64,
                    ctypes.c_int64,
                    ctypes.c_void_p,
                ]
                library.ggml_quantize_init.argtypes = [ctypes.c_int]
                library.ggml_get_type_traits.restype = ctypes.POINTER(_TypeTraits)
                library.ggml_get_type_traits.argtypes = [ctypes.c_int]
                return library
    raise ConvertError("libggml is missing: install llama-cpp-python")


_ToFloat = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


class _TypeTraits(ctypes.Structure):
    """``struct ggml_type_traits`` of ggml.h."""

    _fields_ = [
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", _ToFloat),
        ("from_float_ref", ctypes.c_void_p),
    ]


def block_columns(type: GgmlType) -> int:
    """Columns in one block of ``type`` (``ggml_blck_size``)."""
    return GGML_QUANT_SIZES[type][0]


@cache
def is_readable(type: GgmlType) -> bool:
    """Whether ``dequantize`` can read ``type``; ggml has no function for I32, Q8_K and others."""
    traits = _library().ggml_get_type_traits(int(type)).contents
    sizes = (traits.blck_size, traits.type_size)
    return sizes == GGML_QUANT_SIZES[type] and (type == GgmlType.F32 or bool(traits.to_float))


def row_bytes(type: GgmlType, columns: int) -> int:
    """Bytes of a row (``ggml_row_size``); ``columns`` must be a multiple of the block."""
    block, size = GGML_QUANT_SIZES[type]
    return columns // block * size


def quantize(rows: Float32, type: GgmlType, importance: Float32 | None = None) -> Bytes:
    """Quantize ``rows`` [n, columns] to ``type``: bytes [n, row_bytes].

    ``importance`` [columns] are the weights of the columns from an importance matrix.
    """
    count, columns = rows.shape
    if type == GgmlType.F32:
        return np.ascontiguousarray(rows).view(np.uint8).reshape(count, -1)
    if type == GgmlType.F16:
        return rows.astype(np.float16).view(np.uint8).reshape(count, -1)
    source = np.ascontiguousarray(rows)
    out = np.empty((count, row_bytes(type, columns)), np.uint8)
    weights = None if importance is None else importance.ctypes.data
    # It calls ggml_quantize_init itself, which is thread-safe.
    _library().ggml_quantize_chunk(
        int(type), source.ctypes.data, out.ctypes.data, 0, count, columns, weights
    )
    return out


def dequantize(rows: Bytes, type: GgmlType, columns: int) -> Float32:
    """Dequantize ``rows`` [n, row_bytes], as llama.cpp does: [n, columns]."""
    count = rows.shape[0]
    if type == GgmlType.F32:
        return rows.view(np.float32).reshape(count, columns)
    if type == GgmlType.F16:
        return rows.view(np.float16).reshape(count, columns).astype(np.float32)
    out = np.empty((count, columns), np.float32)
    source = np.ascontiguousarray(rows)
    traits = _library().ggml_get_type_traits(int(type)).contents
    traits.to_float(source.ctypes.data, out.ctypes.data, count * columns)
    return out
