"""The time from Esc in the terminal to the end of compute in the worker, in a 2,000-token prefill::

    python benchmarks/cancel.py

The client runs in a pseudo-terminal with the real model. The end of compute is the last moment at
which the threads of the worker used processor time, read from /proc (Linux).
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.terminal import TimedTerminal

ROUNDS = 15
HIGHEST_MS = 100.0
QUIET_S = 0.25
PROMPT = b"\x1b[200~" + b"word " * 2000 + b"\x1b[201~"


def find_worker(pid: int) -> int:
    """The child of the client that runs the model."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                return int(stat.parent.name)
        except OSError:
            continue
    raise AssertionError("no worker")


def cpu_time_ns(pid: int) -> int:
    """Processor time of all threads of ``pid``, in nanoseconds."""
    total = 0
    for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(schedstat.read_text().split()[0])
        except OSError:
            continue
    return total


def seconds_to_quiet(worker: int) -> float:
    """Seconds from now until the worker last uses a processor."""
    started = last_busy = time.perf_counter()
    before = cpu_time_ns(worker)
    while time.perf_counter() - last_busy < QUIET_S:
        now = cpu_time_ns(worker)
        if now - before > 200_000:  # more than reading a message takes
            last_busy = time.perf_counter()
            before = now
    return last_busy - started


def main() -> int:
    times: list[float] = []
    with tempfile.TemporaryDirectory() as home:
        # What is read ahead after an answer was stopped is no part of it.
        (Path(home) / "config").mkdir()
        (Path(home) / "config" / "config.toml").write_text('[idle]\nwork = "never"\n')
        terminal = TimedTerminal([sys.executable, "-m", "baize_tui"], {"BAIZE_HOME": home})
        terminal.seconds_until(b"moderated")
        worker = find_worker(terminal.pid)
        for _ in range(ROUNDS):
            terminal.forget()
            terminal.type(b"\x0e")  # a new conversation, so that nothing is in the KV cache
            terminal.type(b"%d " % random.randrange(10**6) + PROMPT)
            terminal.type(b"\r")
            terminal.seconds_until(b"reading the prompt", "━".encode())
            end = time.perf_counter() + random.uniform(0.0, 1.0)
            while time.perf_counter() < end:
                terminal.read(0.01)
            terminal.forget()
            terminal.type(b"\x1b")
            times.append(seconds_to_quiet(worker))
            terminal.seconds_until(b"stopped")
        terminal.end()
    ms = sorted(seconds * 1000 for seconds in times)
    print(
        f"from Esc to the end of compute: median {statistics.median(ms):.1f} ms, "
        f"slowest {ms[-1]:.1f} ms of {ROUNDS} (under {HIGHEST_MS:.0f})"
    )
    return 0 if statistics.median(ms) < HIGHEST_MS else 1


if __name__ == "__main__":
    sys.exit(main())
