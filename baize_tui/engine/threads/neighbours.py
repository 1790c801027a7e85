"""How much of the processors other processes use, from the system's counters."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path

import psutil

SAMPLING_S = 0.15
"""The counters advance in steps of 10 ms: a shorter interval is too inexact."""
_PROC_STAT = Path("/proc/stat")
_OWN_TASKS = Path("/proc/self/task")
_RUNNING = re.compile(rb"^procs_running (\d+)$", re.MULTILINE)

BusySeconds = Callable[[], float | None]
"""Seconds that the processors have been busy since a fixed moment; None if that is unknown."""
RunningThreads = Callable[[], int | None]
"""Threads of other processes that run or wait for a core now; None if that is unknown."""


class Neighbours:
    """Measures how many cores other processes use."""

    def __init__(
        self,
        cpus: frozenset[int],
        busy_seconds: BusySeconds | None = None,
        own_seconds: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.perf_counter,
        running: RunningThreads | None = None,
    ) -> None:
        """``cpus`` are the logical processors to look at; empty for all of them.

        ``own_seconds`` is the part of ``busy_seconds`` that this process used. The system's own
        counters and clock are taken unless others are given.
        """
        self._running = running or _running_threads_of_others
        self._busy = busy_seconds or (lambda: _busy_seconds(cpus))
        self._own, self._clock = own_seconds, clock
        self._last = self._read()

    def _read(self) -> tuple[float, float, float | None]:
        return self._clock(), self._own(), self._busy()

    def sample(self) -> float | None:
        """Cores that others have used since the last sample.

        None if that is too recent, or if the system does not report it.
        """
        if self._clock() - self._last[0] < SAMPLING_S:
            return None
        (then, own_then, busy_then), now = self._last, self._read()
        self._last = now
        clock, own, busy = now
        # Counters that do not move while this process computes are not maintained.
        if busy is None or busy_then is None or (busy == busy_then and own - own_then > SAMPLING_S):
            return None
        return max(0.0, (busy - busy_then - (own - own_then)) / (clock - then))

    def sample_after_pause(self) -> float | None:
        """Cores that others use now, after a time in which this process did not compute.

        Their average over that time counts only as far as threads of others run at this moment:
        whoever used the cores may have ended long ago.
        """
        average = self.sample()
        running = self._running() if average else None
        return average if average is None or running is None else min(average, float(running))


def _running_threads_of_others() -> int | None:
    try:
        found = _RUNNING.search(_PROC_STAT.read_bytes())
        own = sum(_is_running(task) for task in _OWN_TASKS.iterdir())
    except OSError:
        return None
    return max(0, int(found[1]) - own) if found else None


def _is_running(task: Path) -> bool:
    try:
        stat = (task / "stat").read_bytes()
    except OSError:  # the thread has just ended
        return False
    # The name of the thread is in parentheses, and may contain some itself.
    return stat.rpartition(b")")[2].split()[0] == b"R"


def _busy_seconds(cpus: frozenset[int]) -> float | None:
    """Seconds that ``cpus`` have been busy; work of low priority yields and does not count."""
    try:
        if platform.system() == "Linux":
            return busy_in_proc_stat(_PROC_STAT.read_bytes(), cpus, os.sysconf("SC_CLK_TCK"))
        times = psutil.cpu_times(percpu=True)
    except (OSError, NotImplementedError):
        return None
    return float(
        sum(time.user + time.system for cpu, time in enumerate(times) if not cpus or cpu in cpus)
    )


def busy_in_proc_stat(text: bytes, cpus: frozenset[int], ticks: int) -> float | None:
    """Seconds of user, system, interrupts and steal of ``cpus`` (proc_stat(5)), None without them.

    ``ticks`` is the number of clock ticks in a second.
    """
    total = 0
    has_any = False
    for line in text.splitlines():
        if not line.startswith(b"cpu"):
            break
        name, *numbers = line.split()
        cpu = name[3:]
        if not cpu or (cpus and int(cpu) not in cpus) or len(numbers) < 8:
            continue
        user, _nice, system, _idle, _iowait, irq, softirq, steal = map(int, numbers[:8])
        total += user + system + irq + softirq + steal
        has_any = True
    return total / ticks if has_any else None
