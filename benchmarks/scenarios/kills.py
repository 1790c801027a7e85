"""End processes with kill -9 at random moments: nothing is lost, and the same command resumes.

Each kind of process has numbers of its own, which ``--only`` takes: the first kind begins at 0, the
second at 1000, and so on. How a case ended is printed to stderr at once.
"""

from __future__ import annotations

import importlib.util
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil

from baize_shared.one_line_error import OneLineError
from benchmarks.killing.asking import prepare_ask
from benchmarks.killing.cases import Case, FailedWithoutKill, Kind, Outcome, RunCase
from benchmarks.killing.clients import prepare_client, prepare_worker
from benchmarks.killing.conversations import prepare_sessions
from benchmarks.killing.models import (
    prepare_import,
    prepare_merge,
    prepare_pull,
    prepare_snapshots,
)
from benchmarks.killing.training import prepare_finetune, prepare_selfchat
from benchmarks.scenarios.figures import Figure, Options

AT_ONCE = 2
_CASE_FAILURES = (
    *(OneLineError, AssertionError, LookupError, ValueError),
    *(OSError, psutil.Error, sqlite3.Error),
)
"""What the checks of a case may meet."""
_NUMBERS = 1000
"""Numbers of one kind."""
KINDS = (
    Kind(
        "client",
        "whole store, 250 ms of text lost at most, no process left, opens and answers",
        80,
        prepare_client,
    ),
    Kind("worker", "the client goes on, no text lost, the next answer comes", 30, prepare_worker),
    Kind("ask", "whole store, 250 ms of text lost at most, asked again", 40, prepare_ask),
    Kind(
        "sessions import, backup, restore",
        "each conversation whole and once after the same command",
        36,
        prepare_sessions,
    ),
    Kind("models import", "the same command adds the model", 20, prepare_import),
    Kind("pull", "the same command ends with the hub's bytes", 24, prepare_pull),
    Kind("merge", "the same command writes the same bytes", 24, prepare_merge),
    Kind("snapshot writing", "nothing damaged is used or kept", 18, prepare_snapshots),
    Kind("selfchat", "the same command ends with the same corpus", 18, prepare_selfchat),
    Kind("finetune", "the same command ends with the same weights", 10, prepare_finetune),
)


def run(options: Options) -> Iterator[Figure]:
    for index, kind in enumerate(KINDS):
        if kind.name == "finetune" and importlib.util.find_spec("torch") is None:
            continue
        if numbers := _numbers(index, kind, options):
            yield _figure(kind, numbers)


def _numbers(index: int, kind: Kind, options: Options) -> range:
    """The numbers of the cases to run."""
    cases = options.cases(kind.cases)
    if options.only is not None:
        return cases if options.only // _NUMBERS == index else range(0)
    first = index * _NUMBERS
    return range(first + cases.start, first + cases.stop)


def _figure(kind: Kind, numbers: range) -> Figure:
    promise = f"{kind.name} killed: {kind.promise}"
    with tempfile.TemporaryDirectory(prefix="kills-") as name, ExitStack() as stack:
        folder = Path(name)
        shared = folder / "shared"
        shared.mkdir()
        try:
            run_case = kind.prepare(shared, stack)
        except FailedWithoutKill as error:
            return Figure(promise, 0, (str(error),))

        def run_number(number: int) -> Outcome:
            outcome = _run_in_folder(run_case, Case(number, folder / str(number)))
            state = outcome.failures[0] if outcome.failures else "held"
            print(f"    case {number}: {state}", file=sys.stderr, flush=True)
            return outcome

        with ThreadPoolExecutor(AT_ONCE) as pool:
            outcomes = dict(zip(numbers, pool.map(run_number, numbers), strict=True))
    broken = [
        f"case {number}: {outcome.failures[0]}"
        for number, outcome in outcomes.items()
        if outcome.failures
    ]
    lost_ms = max(outcome.lost_ms for outcome in outcomes.values())
    characters = max(outcome.lost_characters for outcome in outcomes.values())
    measured = f"at most {lost_ms:.0f} ms, {characters} characters lost" if lost_ms else ""
    return Figure(promise, len(outcomes), tuple(broken), measured)


def _run_in_folder(run_case: RunCase, case: Case) -> Outcome:
    case.folder.mkdir()
    try:
        return run_case(case)
    except _CASE_FAILURES as error:
        return Outcome([f"{type(error).__name__}: {error}"])
    finally:
        shutil.rmtree(case.folder, ignore_errors=True)
