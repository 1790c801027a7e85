"""A process that keeps one core busy, to measure beside it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_SPIN = """
import os, sys, threading
def end():
    sys.stdin.buffer.read()
    os._exit(0)
threading.Thread(target=end, daemon=True).start()
while True:
    pass
"""
_BUSY_AFTER_S = 0.3
"""Processor time after which the process has started, and the system has moved it to a core."""


def start_busy_process() -> subprocess.Popen[bytes]:
    """Start a process that computes until it is killed, or until this process has ended."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _SPIN],
        stdin=subprocess.PIPE,  # its end ends the process
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for this process alone, which then kills it
    )


@contextmanager
def busy_core() -> Iterator[None]:
    """Another process computes all the time, on the core that the system chooses."""
    with start_busy_process() as process:
        try:
            while process.poll() is None and _processor_time(process.pid) < _BUSY_AFTER_S:
                time.sleep(0.02)
            yield
        finally:
            process.kill()


def _processor_time(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
