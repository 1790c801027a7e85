"""A limit for what ggml may allocate while it reads an untrusted header."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

_PROCESS_SIZES = Path("/proc/self/statm")


@contextlib.contextmanager
def limited_memory(more: int) -> Iterator[None]:
    """Let allocations fail inside the block once this process has ``more`` bytes than before.

    An array of a header takes four times its bytes in memory, and a sparse file has as many bytes
    as it says. Only Linux counts what a process has allocated; elsewhere there is no limit.
    """
    try:
        import resource

        pages = int(_PROCESS_SIZES.read_bytes().split()[5])  # data and stack
        before = resource.getrlimit(resource.RLIMIT_DATA)
        limit = pages * resource.getpagesize() + more
        lower = before[0] == resource.RLIM_INFINITY or limit < before[0]
        resource.setrlimit(resource.RLIMIT_DATA, (limit if lower else before[0], before[1]))
    except (ImportError, OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
