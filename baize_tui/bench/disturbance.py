"""The load of other programs beside a measurement."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

_LESS_COMMON = ("irq", "softirq", "steal")


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
