"""The process that keeps a core busy: it computes, and it never outlives whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from baize_tui.bench.busy_core import busy_core
from tests.conftest import wait_for


def busy_processes(parent: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(parent).children() if "-S" in child.cmdline()]


def test_it_computes_until_the_end_of_the_block() -> None:
    with busy_core():
        (process,) = busy_processes(os.getpid())
        before = process.cpu_times().user
        wait_for(lambda: process.cpu_times().user > before + 0.1)
    assert not process.is_running()


def test_it_ends_with_an_error_too() -> None:
    with pytest.raises(RuntimeError), busy_core():
        (process,) = busy_processes(os.getpid())
        raise RuntimeError
    assert not process.is_running()


def test_it_ends_when_its_program_is_killed() -> None:
    program = (
        "from baize_tui.bench.busy_core import busy_core\n"
        "with busy_core():\n    print('busy', flush=True)\n    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"busy\n"
        (process,) = busy_processes(parent.pid)
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
