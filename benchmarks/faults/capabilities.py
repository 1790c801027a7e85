"""Capabilities of root, without which file modes hold for it as for everybody."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence


def drop_capabilities(numbers: Sequence[int]) -> None:
    """Give up capabilities of root, for this process and those that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    for number in numbers:
        libc.prctl(24, number, 0, 0, 0)  # PR_CAPBSET_DROP: programs that it starts
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # this process
    values = (ctypes.c_uint32 * 6)()
    libc.capget(header, values)
    for number in numbers:
        for field in (0, 1, 2):
            values[number // 32 * 3 + field] &= ~(1 << number % 32)
    libc.capset(header, values)
