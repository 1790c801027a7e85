"""Measure how fast this machine reads its main memory."""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor

from baize_tui.engine.llama.libraries import libc

libc.memchr.restype = ctypes.c_void_p
libc.memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
_READ_BYTES = 128 << 20


def measure_read_bandwidth(threads: int) -> float:
    """Bytes per second that ``threads`` read from main memory, which limits decoding.

    Measured with libc's ``memchr`` for a missing byte over more than the processor's caches.
    """
    buffer = ctypes.create_string_buffer(_READ_BYTES)
    ctypes.memset(buffer, 1, _READ_BYTES)
    part = _READ_BYTES // threads
    starts = [ctypes.addressof(buffer) + number * part for number in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(3):
            began = time.perf_counter()
            list(pool.map(lambda start: libc.memchr(start, 0, part), starts))
            best = max(best, _READ_BYTES / (time.perf_counter() - began))
    return best
