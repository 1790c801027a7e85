"""Runs cases in processes of their own, two or more at a time."""

from __future__ import annotations

import importlib
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import get_context

from benchmarks.hostile import every_subject
from benchmarks.hostile.findings import LONGEST_S, findings
from benchmarks.hostile.forked_command import Outcome, adopt_orphans, beside, run_forked
from benchmarks.hostile.sandboxed_process import prepare, sandbox
from benchmarks.hostile.subjects import Use
from tests.program_commands import RUN

_AT_ONCE = 2
_warmed: set[str] = set()


@dataclass(frozen=True)
class Tried:
    """What came of one input."""

    broken: tuple[str, ...]
    seconds: float
    resident: int
    """Bytes."""
    refused: bool


@contextmanager
def case_runner() -> Iterator[Callable[[str, range], Iterator[tuple[int, Tried]]]]:
    """A function that runs cases of a subject; it yields each with its number, in order."""
    with (
        tempfile.TemporaryDirectory(prefix="hostile-") as top,
        ProcessPoolExecutor(
            _AT_ONCE, mp_context=get_context("spawn"), initializer=prepare, initargs=(top,)
        ) as pool,
    ):

        def try_cases(subject: str, numbers: range) -> Iterator[tuple[int, Tried]]:
            futures = [(number, pool.submit(try_case, subject, number)) for number in numbers]
            for number, future in futures:
                yield number, future.result()

        yield try_cases


def try_case(name: str, number: int) -> Tried:
    """Run one case; if it took too long, up to twice more, for this machine may have been busy."""
    tried = _try_once(name, number)
    for _ in range(2):
        if tried.seconds <= LONGEST_S:
            break
        tried = min(tried, _try_once(name, number), key=lambda each: each.seconds)
    return tried


def _try_once(name: str, number: int) -> Tried:
    adopt_orphans()
    subject = every_subject.SUBJECTS[name]
    sandbox().empty()
    os.chdir(sandbox().folder)
    use = subject.write(random.Random(f"{name} {number}"), sandbox())
    if name not in _warmed:
        _warmed.add(name)
        _import_what_is_used(use)
        return _try_once(name, number)
    before = sandbox().listing()
    outcome = _run(use)
    broken = tuple(findings(outcome, use, sandbox(), before))
    return Tried(broken, outcome.seconds, outcome.resident, outcome.code == 1)


def _run(use: Use) -> Outcome:
    arguments = [str(argument) for argument in use.arguments]
    with beside(use.serving) if use.serving is not None else nullcontext():
        return run_forked(lambda: RUN[use.program](arguments), use.stdin)


def _import_what_is_used(use: Use) -> None:
    """Import what the command imports, so that no other case has to."""
    file = sandbox().out / "modules"

    def run_and_list() -> int:
        code = RUN[use.program]([str(argument) for argument in use.arguments])
        file.write_text("\n".join(sys.modules))
        return code

    with beside(use.serving) if use.serving is not None else nullcontext():
        run_forked(run_and_list, use.stdin)
    if file.exists():
        for module in file.read_text().split("\n"):
            with suppress(Exception):
                importlib.import_module(module)
