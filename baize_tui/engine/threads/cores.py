"""How many cores this process may compute on: topology, affinity mask and container quota.

Threads of one matrix product wait for each other after every operation, so only the fast cores of a
hybrid processor count, and two hyper-threads count as one core.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import math
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from baize_shared.usable_cpus import container_quota

_SMALLEST_PART = 0.25
"""With a quota of up to 2.25 cores there are two threads: a third would mostly be throttled."""
_FAST_CAPACITY, _FAST_FREQUENCY = 0.6, 0.75
"""A core counts as fast from this fraction of the best core's capacity or top frequency. Cores of
one kind differ by a few percent, efficiency cores by a third or more."""


@dataclass(frozen=True)
class Cores:
    """The cores that this process may compute on."""

    cpus: frozenset[int]
    """Logical processors of the fast cores in the affinity mask; empty where the system does not
    number them."""
    physical: int
    """Fast cores in the mask."""
    quota: float | None = None
    """Processor time that the container may use, in cores."""

    @property
    def most_threads(self) -> int:
        """The most threads that can be useful: one for each fast core, within the quota."""
        if self.quota is None:
            return self.physical
        return max(1, min(self.physical, math.ceil(self.quota - _SMALLEST_PART)))


def usable_cores() -> Cores:
    """The cores of this process on this machine."""
    if platform.system() == "Darwin":
        # Efficiency cores have a level of their own; Intel Macs have no levels.
        count = _sysctl("hw.perflevel0.physicalcpu") or _sysctl("hw.physicalcpu")
        return Cores(frozenset(), count or os.cpu_count() or 1)
    if not hasattr(os, "sched_getaffinity"):
        return Cores(frozenset(), os.cpu_count() or 1)
    mask = os.sched_getaffinity(0)
    return linux_cores(mask, Path("/sys"), Path("/proc/self/cgroup"))


def linux_cores(mask: Iterable[int], sys: Path, cgroup: Path) -> Cores:
    """The cores in ``mask``, as the folder ``sys`` and the file ``cgroup`` describe them."""
    cpus = _fast_cpus(frozenset(mask), sys)
    siblings = {
        _read(_cpu(sys, cpu) / "topology" / "thread_siblings_list") or str(cpu) for cpu in cpus
    }
    return Cores(cpus, len(siblings), container_quota(sys / "fs" / "cgroup", cgroup))


def most_threads() -> int:
    """The most threads that can be useful in this process."""
    return usable_cores().most_threads


def _fast_cpus(mask: frozenset[int], sys: Path) -> frozenset[int]:
    """Those of ``mask`` on fast cores; all of them where the system reports no difference."""
    fast = mask & _cpu_list(_read(sys / "devices" / "cpu_core" / "cpus"))  # Intel's hybrids
    if fast:
        return fast
    for file, part in (
        ("cpu_capacity", _FAST_CAPACITY),
        ("cpufreq/cpuinfo_max_freq", _FAST_FREQUENCY),
    ):
        rated = {cpu: _number(_read(_cpu(sys, cpu) / file)) for cpu in mask}
        if rated and all(rated.values()):
            best = max(rated.values())
            return frozenset(cpu for cpu, rating in rated.items() if rating >= part * best)
    return mask


def _cpu(sys: Path, cpu: int) -> Path:
    return sys / "devices" / "system" / "cpu" / f"cpu{cpu}"


def _read(file: Path) -> str:
    """The text of ``file``, empty if it cannot be read."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _cpu_list(text: str) -> frozenset[int]:
    """The numbers in a list such as "0-3,8"."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            numbers.update(range(int(first), _number(last or first) + 1))
    return frozenset(numbers)


def _sysctl(name: str) -> int:
    """A number from the macOS kernel; 0 if it has none of that name."""
    libc = ctypes.CDLL(ctypes.util.find_library("c"))
    call: Callable[..., int] = libc.sysctlbyname
    value, size = ctypes.c_int64(0), ctypes.c_size_t(8)
    failed = call(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0)
    return 0 if failed else int(value.value)
