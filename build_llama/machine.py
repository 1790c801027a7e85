"""The compilers, the memory and the processor of this machine."""

from __future__ import annotations

import os
import platform
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from baize_shared.usable_cpus import usable_cpus

BYTES_PER_COMPILER = 1 << 30
"""Memory reserved for one compiler; GCC 12 needs 0.45 GB for the largest file of llama.cpp."""

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def parallel_compilers(cores: int | None = None, memory: int | None = None) -> int:
    """The number of compilers to run at once: one per usable core, as far as the memory suffices.

    ``memory`` is in bytes. The defaults are those of this machine and its container.
    """
    cores = usable_cpus() if cores is None else cores
    memory = available_memory() if memory is None else memory
    return max(1, min(cores, memory // BYTES_PER_COMPILER))


def available_memory(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> int:
    """Bytes that new processes can use: the available memory on Linux, else all memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for line in _read(meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            memory = int(line.split()[1]) * 1024
    limit = _read(cgroup / "memory.max")
    return min(memory, int(limit)) if limit.isdigit() else memory


def compiler_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """``CC`` and ``CXX`` for a machine without the compiler that Python was built with.

    scikit-build-core uses that compiler unless these variables are set. Empty if nothing has to be
    set.
    """
    path = environment.get("PATH")
    builder = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    if "CC" in environment or "CXX" in environment or shutil.which(builder, path=path):
        return {}
    for c, cxx in (("cc", "c++"), ("gcc", "g++"), ("clang", "clang++")):
        if shutil.which(c, path=path) and shutil.which(cxx, path=path):
            return {"CC": c, "CXX": cxx}
    return {}


def processor_features() -> str:
    """The kind of the processor and its instruction sets, as the system lists them."""
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        if line.startswith(("flags", "Features")):
            return f"{platform.machine()} {line}"
    return f"{platform.machine()} {platform.processor()}"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
