"""Runs a command of the programs in a forked process, on two terminals, and measures it.

A program takes half a second to start, most of it for imports. A fork of a process that has
imported everything runs a command as the program would, within milliseconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import pty
import resource
import select
import signal
import struct
import sys
import termios
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

KILLED_AFTER_S = 30.0
_MOST_DATA = 4 << 30
"""Bytes; a command that wants more must not take them from the other processes here."""
_BUSY = 2.0
"""Processes that want to run, for each processor."""
_READ = 1 << 16


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    """Its exit code, or minus the signal that ended it."""
    out: bytes
    errors: bytes
    seconds: float
    """From the start to the end, without the time in which others had the processors. Where many
    processes want them, it is what the command and those that it has started have computed: one
    that hangs without computing is still killed after ``KILLED_AFTER_S``."""
    resident: int
    """Bytes, of the largest process among the command and those that it has started."""
    left: tuple[int, ...] = ()
    """Processes that it has started and that did not end with it."""

    @property
    def written(self) -> bytes:
        return self.out + self.errors


def run_forked(run: Callable[[], int], stdin: Path | None = None) -> Outcome:
    """Run a command in a child of this process; its exit code is what ``run`` returns."""
    out, out_terminal = _open_terminal()
    errors, errors_terminal = _open_terminal()
    before = _children()
    gc.freeze()  # else the collector of the child copies all pages
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(out)
        os.close(errors)
        _become(run, stdin, out_terminal, errors_terminal)
    os.close(out_terminal)
    os.close(errors_terminal)
    texts, status, usage, waited = _watch(child, (out, errors), started + KILLED_AFTER_S)
    seconds = time.monotonic() - started - waited
    if os.getloadavg()[0] > _BUSY * (os.cpu_count() or 1):
        seconds = min(seconds, usage.ru_utime + usage.ru_stime)
    left = _wait_for_others(before)
    code = os.waitstatus_to_exitcode(status)
    return Outcome(code, texts[0], texts[1], seconds, usage.ru_maxrss * 1024, left)


def adopt_orphans() -> None:
    """Let processes whose parent has ended become children of this one."""
    import ctypes

    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


@contextlib.contextmanager
def beside(serve: Callable[[], object]) -> Iterator[None]:
    """Run ``serve``, which does not end, in a child."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            serve()
        os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _open_terminal() -> tuple[int, int]:
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    return parent, child


def _become(run: Callable[[], int], stdin: Path | None, out: int, errors: int) -> None:
    """Turn this process into the command; does not return."""
    code = 70
    try:
        os.setsid()
        fcntl.ioctl(out, termios.TIOCSCTTY, 0)
        source = os.open(stdin or os.devnull, os.O_RDONLY)
        for number, descriptor in enumerate((source, out, errors)):
            os.dup2(descriptor, number)
        for descriptor in (source, out, errors):
            os.close(descriptor)
        sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_DATA, _MOST_DATA))
        code = run()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - the parent has to see it
        os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def _watch(
    child: int, terminals: tuple[int, int], deadline: float
) -> tuple[list[bytes], int, resource.struct_rusage, float]:
    """What ``child`` writes until it ends, its status, what it used, and how long it had to wait
    for a processor."""
    texts = {terminal: bytearray() for terminal in terminals}
    ended = os.pidfd_open(child)
    killed = False
    while True:
        ready, _, _ = select.select([ended, *texts], [], [], 0.2)
        for terminal in terminals:
            if terminal in ready:
                _read(terminal, texts[terminal])
        if ended in ready:
            break
        if not killed and time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            killed = True
    waited = int(Path(f"/proc/{child}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    _, status, usage = os.wait4(child, 0)
    os.close(ended)
    for terminal in terminals:
        while select.select([terminal], [], [], 0)[0] and _read(terminal, texts[terminal]):
            pass
        os.close(terminal)
    return [bytes(text) for text in texts.values()], status, usage, waited


def _read(terminal: int, text: bytearray) -> bool:
    """Whether something was read; a terminal that nobody has open any more has no end of file."""
    try:
        chunk = os.read(terminal, _READ)
    except OSError:
        time.sleep(0.001)
        return False
    text += chunk
    return bool(chunk)


def _children() -> set[int]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    return set(map(int, listed.split()))


def _wait_for_others(before: set[int]) -> tuple[int, ...]:
    """Processes that the command has started and that outlive it by more than 5 seconds."""
    end = time.monotonic() + 5
    while left := _children() - before:
        for process in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process, os.WNOHANG)
        if time.monotonic() > end:
            for process in left:
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(process, signal.SIGKILL)
                    os.waitpid(process, 0)
            return tuple(left)
        if left & _children():
            time.sleep(0.01)
    return ()
