"""How much of the processors other processes use, told by the system's own counters."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import psutil

SAMPLING_S = 0.15
"""The counters advance in steps of 10 ms: a shorter time says too little."""
_PROC_STAT = Path("/proc/stat")

BusySeconds = Callable[[], float | None]


class Neighbours:
    """Cores that other processes use, one sample after the other."""

    def __init__(
        self,
        cpus: frozenset[int],
        busy_seconds: BusySeconds | None = None,
        own_seconds: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``cpus`` are the logical processors that count; empty is all of them.

        ``busy_seconds`` tells how long they have been busy since some moment, ``own_seconds`` how
        much of it was this process; both and ``clock`` are the system's unless given.
        """
        self._busy = busy_seconds or (lambda: _busy_seconds(cpus))
        self._own, self._clock = own_seconds, clock
        self._last = self._read()

    def _read(self) -> tuple[float, float, float | None]:
        return self._clock(), self._own(), self._busy()

    def sample(self) -> float | None:
        """Cores in use by others since the last sample; None so soon after it that nothing can be
        told, or where the system tells nothing."""
        if self._clock() - self._last[0] < SAMPLING_S:
            return None
        (then, own_then, busy_then), now = self._last, self._read()
        self._last = now
        clock, own, busy = now
        # Counters that stand still while this process computes are no counters.
        if busy is None or busy_then is None or (busy == busy_then and own - own_then > SAMPLING_S):
            return None
        return max(0.0, (busy - busy_then - (own - own_then)) / (clock - then))


def _busy_seconds(cpus: frozenset[int]) -> float | None:
    """Seconds that ``cpus`` have been busy. Work of low priority does not count: it makes way."""
    try:
        if platform.system() == "Linux":
            return busy_in_proc_stat(_PROC_STAT.read_bytes(), cpus, os.sysconf("SC_CLK_TCK"))
        times = psutil.cpu_times(percpu=True)
    except (OSError, NotImplementedError):
        return None
    return float(
        sum(each.user + each.system for cpu, each in enumerate(times) if not cpus or cpu in cpus)
    )


def busy_in_proc_stat(text: bytes, cpus: frozenset[int], ticks: int) -> float | None:
    """Seconds of user, system, interrupts and steal of ``cpus`` (proc_stat(5)); None without any.

    ``ticks`` is how many make a second.
    """
    total = 0
    found = False
    for line in text.splitlines():
        if not line.startswith(b"cpu"):
            break
        name, *numbers = line.split()
        cpu = name[3:]
        if not cpu or (cpus and int(cpu) not in cpus) or len(numbers) < 8:
            continue
        user, _nice, system, _idle, _iowait, irq, softirq, steal = map(int, numbers[:8])
        total += user + system + irq + softirq + steal
        found = True
    return total / ticks if found else None
