"""Which weights the CPU backend keeps a second time, in an order of its own."""

from __future__ import annotations

import ctypes
from functools import cache

from baize_tui.engine.llama.libraries import ggml_library
from baize_tui.engine.llama.machine import CPU_DEVICE, cpu_function, registry

_F32 = 0
_TINY_GRAPH_BYTES = 1 << 16


class _GgmlInitParams(ctypes.Structure):
    _fields_ = [
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    ]


class _GgmlTensorStart(ctypes.Structure):
    """The first fields of ``ggml_tensor``, ggml.h."""

    _fields_ = [("type", ctypes.c_int), ("buffer", ctypes.c_void_p)]


_pointer, _size = ctypes.c_void_p, ctypes.c_size_t
_ggml = ggml_library(
    "ggml-base",
    {
        "ggml_backend_buft_alloc_buffer": (_pointer, [_pointer, _size]),
        "ggml_backend_buffer_free": (None, [_pointer]),
        "ggml_backend_dev_supports_op": (ctypes.c_bool, [_pointer, _pointer]),
        "ggml_init": (_pointer, [_GgmlInitParams]),
        "ggml_free": (None, [_pointer]),
        "ggml_new_tensor_2d": (_pointer, [_pointer, ctypes.c_int, *[ctypes.c_int64] * 2]),
        "ggml_mul_mat": (_pointer, [_pointer, _pointer, _pointer]),
    },
)


@cache
def is_repacked(type: int, columns: int, rows: int) -> bool:
    """Whether the CPU backend makes a repacked copy of a ``rows`` x ``columns`` matrix.

    ``type`` is a ggml type. The same question that ``weight_buft_supported`` of
    llama-model-loader.cpp asks.
    """
    cpu = registry.ggml_backend_dev_by_type(CPU_DEVICE)
    address = cpu_function(b"ggml_backend_dev_get_extra_bufts")
    if not address:
        return False
    buffer_types = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)(address)(cpu)
    context = _ggml.ggml_init(_GgmlInitParams(_TINY_GRAPH_BYTES, None, True))
    try:
        weight = _ggml.ggml_new_tensor_2d(context, type, columns, rows)
        product = _ggml.ggml_mul_mat(
            context, weight, _ggml.ggml_new_tensor_2d(context, _F32, columns, 512)
        )
        at = 0
        while buffer_types and (buffer_type := buffer_types[at]):
            buffer = _ggml.ggml_backend_buft_alloc_buffer(buffer_type, 0)
            start = _GgmlTensorStart.from_address(weight)
            start.buffer = buffer
            supported = bool(_ggml.ggml_backend_dev_supports_op(cpu, product))
            start.buffer = None
            _ggml.ggml_backend_buffer_free(buffer)
            if supported:
                return True
            at += 1
        return False
    finally:
        _ggml.ggml_free(context)
