"""What a figure was measured on, and a core kept busy beside it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

_LESS_COMMON = ("irq", "softirq", "steal")


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


@dataclass
class Disturbance:
    """Processor time that went to processes other than this one and its children."""

    share: float = 0.0
    """Of all cores, 0 to 1; time that a hypervisor gave to others included."""


@contextmanager
def measured_disturbance() -> Iterator[Disturbance]:
    """How much others computed meanwhile: with much of it, a time says little."""
    disturbance = Disturbance()
    began, busy, own = time.perf_counter(), _busy_seconds(), _own_seconds()
    yield disturbance
    others = (_busy_seconds() - busy) - (_own_seconds() - own)
    cores = (time.perf_counter() - began) * (os.cpu_count() or 1)
    disturbance.share = max(0.0, others / cores)


def _busy_seconds() -> float:
    """Processor time of everything that ran on this machine, in seconds."""
    times = psutil.cpu_times()
    return float(sum(times[:3]) + sum(getattr(times, name, 0.0) for name in _LESS_COMMON))


def _own_seconds() -> float:
    """Processor time of this process and its children, living and ended, in seconds."""
    this = psutil.Process()
    processes = [this, *this.children(recursive=True)]
    return float(sum(sum(process.cpu_times()[:4]) for process in processes))
