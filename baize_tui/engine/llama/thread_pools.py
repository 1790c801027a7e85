"""ggml's own thread pools, for builds without OpenMP such as those for macOS.

Without a pool, such a build starts and ends its threads for every token. A pool has exactly as many
threads as compute, because idle threads would poll for work and occupy the cores that others need.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from llama_cpp import llama_cpp as lib

from baize_shared.number_limits import MOST_THREADS

_POLLING = 50  # ggml_threadpool_params_init


class _Params(ctypes.Structure):
    """``ggml_threadpool_params`` of ggml.h."""

    _fields_ = [
        ("cpumask", ctypes.c_bool * MOST_THREADS),
        ("n_threads", ctypes.c_int),
        ("prio", ctypes.c_int),
        ("poll", ctypes.c_uint32),
        ("strict_cpu", ctypes.c_bool),
        ("paused", ctypes.c_bool),
    ]


def are_needed() -> bool:
    """Whether this llama.cpp was built without OpenMP."""
    return b"OPENMP = 1" not in lib.llama_print_system_info()


class ThreadPools:
    """The pools of one context: one for single tokens, another for batches."""

    def __init__(self, context: int, cpu_function: Callable[[bytes], int]) -> None:
        """``cpu_function`` gives the address of a function of the CPU backend, or 0."""
        new, free = cpu_function(b"ggml_threadpool_new"), cpu_function(b"ggml_threadpool_free")
        self._new: Any = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(new) if new else None
        self._free: Any = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(free) if free else None
        self._attach: Any = lib._lib.llama_attach_threadpool
        self._attach.restype, self._attach.argtypes = None, [ctypes.c_void_p] * 3
        self._context = context
        self._pools: dict[str, tuple[int, int]] = {}
        self._retired: list[int] = []

    def resize(self, threads: int, threads_batch: int) -> None:
        """Set the threads of the next decode call; call it immediately before that."""
        if self._new is None or self._free is None:
            return
        # The backend touches its last pool once more when it first sees another one. Pools that
        # were retired before the last call can be freed.
        self._free_all(self._retired)
        for kind, count in (("token", threads), ("batch", threads_batch)):
            size, pool = self._pools.get(kind, (0, 0))
            if size != count:
                if pool:
                    self._retired.append(pool)
                params = _Params(n_threads=count, poll=_POLLING)
                self._pools[kind] = count, self._new(ctypes.byref(params))
        self._attach(self._context, self._pools["token"][1], self._pools["batch"][1])

    def close(self) -> None:
        """Free the pools, after their context."""
        self._free_all([pool for _, pool in self._pools.values()])
        self._free_all(self._retired)
        self._pools.clear()

    def _free_all(self, pools: list[int]) -> None:
        for pool in pools:
            self._free(pool)
        pools.clear()


def open_pools(context: int, cpu_function: Callable[[bytes], int]) -> ThreadPools | None:
    """Pools for ``context``, where this build of llama.cpp needs them."""
    return ThreadPools(context, cpu_function) if are_needed() else None
