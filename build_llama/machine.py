"""What this machine can spend on compiling, and what its processor is."""

from __future__ import annotations

import os
import platform
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path

BYTES_PER_COMPILER = 1 << 30
"""Memory that one compiler may need; the largest file of llama.cpp takes GCC 12 0.45 GB."""

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def parallel_compilers(
    cores: int | None = None, memory: int | None = None, *, cgroup: Path = _CGROUP
) -> int:
    """How many compilers to run at once: one for each usable core for which there is memory."""
    cores = usable_cores(cgroup) if cores is None else cores
    memory = available_memory(cgroup) if memory is None else memory
    return max(1, min(cores, memory // BYTES_PER_COMPILER))


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """Cores that this process may use: its affinity mask (Linux) within its container's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def available_memory(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> int:
    """Bytes that new processes can use: what is available now (Linux), else what is built in."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for line in _read(meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            memory = int(line.split()[1]) * 1024
    limit = _read(cgroup / "memory.max")
    return min(memory, int(limit)) if limit.isdigit() else memory


def compilers(environment: Mapping[str, str]) -> dict[str, str]:
    """``CC`` and ``CXX`` for a machine that lacks the compiler that Python was built with.

    scikit-build-core uses that one unless these variables are set. Empty where nothing is needed.
    """
    path = environment.get("PATH")
    builder = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    if "CC" in environment or "CXX" in environment or shutil.which(builder, path=path):
        return {}
    for c, cxx in (("cc", "c++"), ("gcc", "g++"), ("clang", "clang++")):
        if shutil.which(c, path=path) and shutil.which(cxx, path=path):
            return {"CC": c, "CXX": cxx}
    return {}


def processor() -> str:
    """The processor's kind and instruction sets: a build for one may not run on another."""
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        if line.startswith(("flags", "Features")):
            return f"{platform.machine()} {line}"
    return f"{platform.machine()} {platform.processor()}"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
