"""Stopping a computation from another thread."""

from __future__ import annotations

import ctypes

import llama_cpp.llama_cpp as lib

from baize_tui.engine.llama.libraries import libc


class AbortFlag:
    """A byte that stops a running ``llama_decode`` within milliseconds.

    llama.cpp asks its abort callback hundreds of times a token. The callback is ``strlen`` on this
    byte: native, so it never waits for Python's interpreter lock.
    """

    def __init__(self) -> None:
        self._byte = ctypes.create_string_buffer(2)
        self.callback = ctypes.cast(libc.strlen, lib.ggml_abort_callback)
        self.address = ctypes.c_void_p(ctypes.addressof(self._byte))

    def set(self) -> None:
        """Stop the running computation, and those that begin until ``clear``."""
        self._byte[0] = b"\x01"

    def clear(self) -> None:
        """Allow computations."""
        self._byte[0] = b"\x00"

    def is_set(self) -> bool:
        """Whether computations are stopped."""
        return self._byte[0] != b"\x00"
