"""The machine that a figure was measured on."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from baize_shared.usable_cpus import usable_cpus
from baize_tui.engine.threads.cores import most_threads


def processor_name() -> str:
    """The processor as the system names it, with its family and model on Linux."""
    if platform.system() == "Darwin":
        brand = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(brand, capture_output=True, text=True, check=True).stdout.strip()
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    first_core = text.partition("\n\n")[0]
    parts = (line.partition(":") for line in first_core.splitlines())
    fields = {key.strip(): value.strip() for key, _, value in parts}
    if "model name" not in fields:  # ARM
        return platform.machine()
    return f"{fields['model name']}, family {fields.get('cpu family')}, model {fields.get('model')}"


def thread_counts() -> list[int]:
    """1, 2, 4 and so on, one thread for each fast core, and one for each logical processor."""
    fast_cores, processors = most_threads(), usable_cpus()
    return counts_up_to(fast_cores, processors)


def counts_up_to(fast_cores: int, processors: int) -> list[int]:
    """The same for a machine with so many."""
    most = max(fast_cores, processors)
    powers = {1 << power for power in range(most.bit_length()) if 1 << power <= most}
    return sorted({*powers, fast_cores, processors})
