"""A full disk at each write of each command: one line, nothing half-written, and then it works.

Each case runs a use of a command whose n-th operation on the disk fails, and all that follow: with
no space, over the quota, or because the disk is broken. The first cases of a use take 1, 2, 3 … for
n, the others a random one. Then the disk has space again, and the same command has to work.
"""

from __future__ import annotations

import errno
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.faults.commands import WRITING
from benchmarks.faults.injection import Fault, NoCompiler
from benchmarks.faults.trials import Broken, Trials, trials
from benchmarks.scenarios.figures import Figure, Options, examine

CASES_OF_A_USE = 40
CASES = len(WRITING) * CASES_OF_A_USE
_IN_ORDER = 12
"""So many cases of a use take the first operations one after the other."""
_LATEST = 150
"""The latest operation that fails."""
_ERRORS = (errno.ENOSPC, errno.ENOSPC, errno.EDQUOT, errno.EIO)


def run(options: Options) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="full-disk-") as folder:
        try:
            with trials(Path(folder)) as disk:
                figure = examine(
                    "one line, nothing half-written, and it works with space",
                    options.cases(CASES),
                    lambda case: check(disk, case),
                )
                met = f"a write failed in {disk.met.total()} of them"
        except NoCompiler as missing:
            yield Figure(f"skipped: {missing}", 0)
        else:
            yield replace(figure, measured=met)


def check(disk: Trials, case: int) -> str | None:
    """Run a case; what broke, or None."""
    name, fault = list(WRITING)[case % len(WRITING)], fault_of(case)
    if problem := disk.check(name, _injected(disk, fault)):
        return f"{name}, operation {fault.first} {errno.errorcode[fault.error]}: {problem}"
    return None


@contextmanager
def _injected(disk: Trials, fault: Fault) -> Iterator[Broken]:
    disk.injection.fail(fault)
    try:
        yield lambda: disk.injection.failed > 0
    finally:
        disk.injection.stop()


def fault_of(case: int) -> Fault:
    """The fault of a case."""
    chance = random.Random(case)
    turn = case // len(WRITING)
    first = turn + 1 if turn < _IN_ORDER else round(_LATEST ** chance.random())
    return Fault(first, chance.choice(_ERRORS), short_write=chance.random() < 0.5)
