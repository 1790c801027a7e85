"""Runs a command, passes on its output line by line, and can end it with all its processes."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from types import FrameType
from typing import IO

_TICK_S = 1.0
_GRACE_S = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Cancelled(Exception):
    """A signal asked this program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@contextmanager
def cancelled_by_signals() -> Iterator[None]:
    """Inside this context Ctrl-C, SIGTERM and SIGHUP raise ``Cancelled``."""

    def cancel(number: int, frame: FrameType | None) -> None:
        raise Cancelled(number)

    before = {number: signal.signal(number, cancel) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    on_tick: Callable[[], None],
) -> int:
    """Run ``command`` and return its exit code.

    ``on_tick`` is called after each second without output. The command leads its own process
    group, so that a signal can reach all its processes. If an exception or a signal ends the wait
    early, the group is ended first.
    """
    process = subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    )
    try:
        assert process.stdout is not None
        for line in _lines(process.stdout):
            if line is None:
                on_tick()
            else:
                on_line(line)
        return process.wait()
    except BaseException:
        _end(process)
        raise


def _lines(output: IO[str]) -> Iterator[str | None]:
    """The lines of ``output`` as they are printed; None after each second without a line."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in output:
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while True:
        try:
            line = lines.get(timeout=_TICK_S)
        except queue.Empty:
            yield None
        else:
            if line is None:
                return
            yield line


def _end(process: subprocess.Popen[str]) -> None:
    """End the group: first by an interrupt, so that ninja ends its compilers, then by force."""
    try:
        end = monotonic() + _GRACE_S
        _signal_group(process, signal.SIGINT)
        while _group_exists(process) and monotonic() < end:
            sleep(0.05)
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _group_exists(process: subprocess.Popen[str]) -> bool:
    process.poll()
    return _signal_group(process, 0)


def _signal_group(process: subprocess.Popen[str], number: int) -> bool:
    """Send a signal to the group; False if the group has ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
        return True
    return False
