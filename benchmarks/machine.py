"""What a figure was measured on, and a core kept busy beside it."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def processor_name() -> str:
    """The processor as the system names it, with its family and model on Linux."""
    if platform.system() == "Darwin":
        brand = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(brand, capture_output=True, text=True, check=True).stdout.strip()
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    first = text.partition("\n\n")[0]
    parts = (line.partition(":") for line in first.splitlines())
    told = {key.strip(): value.strip() for key, _, value in parts}
    if "model name" not in told:  # ARM
        return platform.machine()
    return f"{told['model name']}, family {told.get('cpu family')}, model {told.get('model')}"


@contextmanager
def busy_core() -> Iterator[None]:
    """Another process computes all the time, on whichever core the system gives it."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
