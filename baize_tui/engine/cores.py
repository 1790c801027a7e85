"""How many threads to compute with, when the settings leave it open."""

from __future__ import annotations

import os
from pathlib import Path

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def logical_cores() -> set[int]:
    """Numbers of the logical cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def physical_cores() -> int:
    """Cores, two hyper-threads counted once where the system tells (Linux), as llama.cpp does
    (``common_cpu_get_num_physical_cores``, common/common.cpp)."""
    logical = logical_cores()
    siblings: set[str] = set()
    for core in logical:
        try:
            siblings.add(Path(_TOPOLOGY.format(core)).read_text(encoding="ascii").strip())
        except OSError:
            return len(logical)
    return len(siblings)


def decode_threads() -> int:
    """One thread a core, less one for the screen.

    With as many decoding threads as cores, one busy neighbour makes every thread wait for the one
    that lost its core: on 2 cores 190 tokens/s fall to 12. One thread fewer loses a fifth.
    """
    return max(1, physical_cores() - 1)


def batch_threads() -> int:
    """Reading a prompt takes every core: nothing is drawn meanwhile but a bar."""
    return physical_cores()
