"""The machine that a figure was measured on, and the load beside it."""

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

BUSY_LOOP = (sys.executable, "-c", "while True: pass")

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
    first_core = text.partition("\n\n")[0]
    parts = (line.partition(":") for line in first_core.splitlines())
    fields = {key.strip(): value.strip() for key, _, value in parts}
    if "model name" not in fields:  # ARM
        return platform.machine()
    return f"{fields['model name']}, family {fields.get('cpu family')}, model {fields.get('model')}"


@contextmanager
def busy_core() -> Iterator[None]:
    """Another process computes all the time, on the core that the system chooses."""
    process = subprocess.Popen(BUSY_LOOP)
    try:
        time.sleep(1.0)  # it has started, and the system has moved it to a core
        yield
    finally:
        process.kill()
        process.wait()


@dataclass
class Disturbance:
    """Processor time that went to processes other than this one and its children."""

    share: float = 0.0
    """Part of all cores, 0 to 1. Time that a hypervisor gave to other machines counts."""


@contextmanager
def measured_disturbance() -> Iterator[Disturbance]:
    """Measure the load of other processes. A time measured under much load means little."""
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
