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
from tests.processes import children_of, command_line, is_running, wait_until_gone


def busy_processes(parent: int) -> list[int]:
    return [pid for pid in children_of(parent) if " -S" in command_line(pid)]


def test_it_computes_until_the_end_of_the_block() -> None:
    with busy_core():
        (process,) = busy_processes(os.getpid())
        times = psutil.Process(process).cpu_times
        before = times().user
        wait_for(lambda: times().user > before + 0.1)
    assert not is_running(process)


def test_it_ends_with_an_error_too() -> None:
    with pytest.raises(RuntimeError), busy_core():
        (process,) = busy_processes(os.getpid())
        raise RuntimeError
    assert not is_running(process)


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
    wait_until_gone([process])
