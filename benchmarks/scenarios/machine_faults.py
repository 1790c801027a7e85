"""Read-only folders, a locked store, a clock that jumps, signals, closed terminals and resizes.

The commands are those of ``benchmarks/faults/commands.py``, in its small world; the client in a
terminal runs the real model.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.closed_terminals import CASES as TERMINALS
from benchmarks.closed_terminals import run_case
from benchmarks.faults.clock_jumps import check_order
from benchmarks.faults.commands import WRITING
from benchmarks.faults.injection import NoCompiler
from benchmarks.faults.outcome import examine_failure, wait_for
from benchmarks.faults.resizes import check_resizes
from benchmarks.faults.trials import Broken, Trials, trials
from benchmarks.scenarios.figures import Figure, Options, examine

_FOLDERS = ("home", "home/config", "home/data", "home/cache", "home/logs", "made")
_IGNORE_MODES = (1, 2)
"""Capabilities with which root may write and read whatever the modes of files say."""
_USING_STORE = [name for name in WRITING if name.startswith(("ask", "sessions", "the client"))]
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGTSTP")
_ENDINGS = {"SIGINT": (130, -2), "SIGTERM": (143, -15), "SIGHUP": (129, -1)}
"""Exit codes after a signal, beside 0 for what was done before it came."""
_LATEST_SIGNAL = 120
"""The latest operation on the disk at which a signal comes."""
_STOPPED_S = 0.5
_RESIZES = 500
_YEAR_S = 366 * 86400.0


def run(options: Options) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="machine-faults-") as folder:
        try:
            with trials(Path(folder)) as machine:
                yield from _run_commands(machine, options)
        except NoCompiler as missing:
            yield Figure(f"read-only, locked, clock, signals skipped: {missing}", 0)
    yield examine("terminal closed: nothing left, nothing lost", options.cases(TERMINALS), _close)
    part = max(10, round(options.part(_RESIZES)))
    yield replace(
        examine(
            f"{part} resizes while it answers: drawn as from the start",
            options.cases(4),
            lambda case: _resize(case, part),
        ),
        measured=f"{part} resizes each",
    )


def _run_commands(machine: Trials, options: Options) -> Iterator[Figure]:
    uses = len(WRITING)
    for promise, full, check in (
        ("read-only folder: one line, and it works afterwards", uses * 6, check_read_only),
        ("locked store: waits, or says so in one line", len(_USING_STORE) * 4, check_locked),
        ("clock jumps while a command runs: no difference", uses * 4, check_jumping),
        ("clock jumps between commands: what was used last is first", 60, check_order),
        ("signal: ends or goes on, nothing half-written", uses * 12, check_signal),
    ):
        machine.met.clear()
        figure = examine(promise, options.cases(full), partial(check, machine))
        yield (
            replace(figure, measured=f"met in {machine.met.total()}")
            if machine.met.total()
            else figure
        )


def check_read_only(machine: Trials, case: int) -> str | None:
    name = list(WRITING)[case % len(WRITING)]
    folder = _FOLDERS[case // len(WRITING) % len(_FOLDERS)]
    without = _IGNORE_MODES if os.geteuid() == 0 else ()
    problem = machine.check(name, _read_only(machine.world.folder / folder), without)
    return f"{name}, {folder}: {problem}" if problem else None


@contextmanager
def _read_only(folder: Path) -> Iterator[Broken]:
    files = [folder, *folder.rglob("*")] if folder.exists() else []
    before = {file: file.stat().st_mode for file in files if not file.is_symlink()}
    for file, mode in before.items():
        file.chmod(mode & 0o500)
    try:
        yield lambda: True
    finally:
        for file, mode in before.items():
            if file.exists():
                file.chmod(mode)


def check_locked(machine: Trials, case: int) -> str | None:
    """Another process writes for a while, or for as long as the command runs."""
    name = _USING_STORE[case % len(_USING_STORE)]
    chance = random.Random(case)
    held_s = chance.uniform(0.2, 2.0) if case // len(_USING_STORE) % 2 else None
    problem = machine.check(name, _locked(machine, held_s))
    return f"{name}, locked for {held_s or 'ever'}: {problem}" if problem else None


@contextmanager
def _locked(machine: Trials, held_s: float | None) -> Iterator[Broken]:
    ended = threading.Event()
    locked = threading.Event()

    def hold() -> None:
        with closing(
            sqlite3.connect(machine.world.paths.conversations_file, isolation_level=None)
        ) as other:
            other.execute("BEGIN EXCLUSIVE")
            locked.set()
            ended.wait(held_s)
            other.execute("ROLLBACK")

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait()
    try:
        yield lambda: held_s is None
    finally:
        ended.set()
        holder.join()


def check_jumping(machine: Trials, case: int) -> str | None:
    name = list(WRITING)[case % len(WRITING)]
    problem = machine.check(name, _jumping_clock(machine, random.Random(case)))
    return f"{name}: {problem}" if problem else None


@contextmanager
def _jumping_clock(machine: Trials, chance: random.Random) -> Iterator[Broken]:
    ended = threading.Event()

    def jump() -> None:
        while not ended.wait(chance.uniform(0.01, 0.2)):
            far = 10 ** chance.uniform(-1, 7.5)
            machine.injection.move_clock(chance.choice((-1, 1)) * far)

    jumping = threading.Thread(target=jump)
    jumping.start()
    try:
        yield lambda: False
    finally:
        ended.set()
        jumping.join()
        machine.injection.move_clock(0)


def check_signal(machine: Trials, case: int) -> str | None:
    """A signal comes at a random operation on the disk, or some time after the start."""
    name = list(WRITING)[case % len(WRITING)]
    chance = random.Random(case)
    chosen = chance.choice(_SIGNALS)
    problem = _check_signal(machine, name, chosen, chance)
    return f"{name}, {chosen}: {problem}" if problem else None


def _check_signal(machine: Trials, name: str, chosen: str, chance: random.Random) -> str | None:
    use = WRITING[name]
    machine.begin()
    operation = round(_LATEST_SIGNAL ** chance.random())
    latest = time.monotonic() + chance.uniform(0.5, 10.0)
    running = machine.start(use)
    while machine.injection.operations < operation and time.monotonic() < latest:
        if running.has_ended():
            break
        time.sleep(0.002)
    met = running.signal(signal.Signals[chosen])
    if chosen == "SIGTSTP":
        time.sleep(_STOPPED_S)
        running.signal(signal.SIGCONT)
    ended = wait_for(running)
    machine.met[name] += met
    said = f"[{ended.errors[-200:]!r}]"
    if ended.code in _ENDINGS.get(chosen, ()):
        ended = replace(ended, code=0)
    elif ended.code != 0:
        return f"exit code {ended.code} {said}"
    problem = examine_failure(ended) or machine.examine_world() or machine.check_again(name, use)
    return f"{problem} {said}" if problem else None


def _resize(case: int, resizes: int) -> str | None:
    try:
        return check_resizes(case, resizes)
    except AssertionError as error:  # what a terminal was waited for did not come
        return str(error)


def _close(case: int) -> str | None:
    result = run_case(case)
    return f"{result.moment}, {result.end}: {result.failures[0]}" if result.failures else None
