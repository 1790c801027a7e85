"""A command is killed at a random moment of its life, checked, run again, and checked again."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.client_terminal import kill_all, processes_left
from benchmarks.killing.stored_words import store_problems

NOTHING_LEFT_S = 5.0
"""Seconds in which the other processes of a killed one have to end."""
LONGEST_RUN_S = 600.0
_LATEST = 1.1
"""The last moment of a kill as a part of the time of an undisturbed run, which is never exact."""
_TEMPORARY = (".partial", ".tmp", ".journal", ".incomplete", "-journal", "-wal", "-shm")


@dataclass
class Outcome:
    """What was found after one kill."""

    failures: list[str] = field(default_factory=list)
    lost_ms: float = 0.0
    """How long before the kill the oldest text was shown, of an answer or typed, that is not in the
    store."""
    lost_characters: int = 0


@dataclass(frozen=True)
class Case:
    """One kill: its number is the seed, and everything that it writes is in its folder."""

    number: int
    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        return {
            **kept,
            "BAIZE_HOME": str(self.home),
            "BAIZE_FLASH_ATTENTION": "on",  # else each of them would begin with the trial
            "LANGUAGE": "en",
            "OPENAI_API_KEY": "",
            "no_proxy": "*",
            "HF_HOME": str(self.folder / "hub"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def settings(self, text: str) -> None:
        """Let ``text`` be the settings file."""
        file = self.home / "config" / "config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def orphans(self, since: float) -> list[str]:
        """Processes that are left some seconds after ``since``; ends them."""
        lines = []
        for process in processes_left(self.home, since + NOTHING_LEFT_S):
            with contextlib.suppress(psutil.NoSuchProcess):
                lines.append(f"left: {' '.join(process.cmdline())[:80]}")
        kill_all(self.home)
        return lines

    def leftovers(self) -> list[str]:
        """Files that only a process in progress or one to resume needs."""
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        return [
            f"left behind: {file.relative_to(self.folder)}"
            for file in sorted(files)
            if file.name.endswith(_TEMPORARY) or file.parent.name == "clients"
        ]


class FailedWithoutKill(Exception):
    """A command that is to be killed fails by itself."""


RunCase = Callable[[Case], Outcome]


@dataclass(frozen=True)
class Kind:
    """A kind of process to kill."""

    name: str
    promise: str
    """What holds after each kill."""
    cases: int
    """Kills of a full run."""
    prepare: Callable[[Path, ExitStack], RunCase]
    """Makes what all cases read, in a folder and until the stack is closed. It may raise
    ``FailedWithoutKill``."""


class KilledCommand:
    """A command of a program; subclasses say which, and what must hold."""

    variants = 1
    """Forms of the command, which the numbers of the cases go through in turn."""

    def fill(self, case: Case) -> None:
        """Write what the command needs into the folder of the case."""

    def arguments(self, case: Case) -> list[object]:
        """The module and the arguments."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        return {}

    def check_killed(self, case: Case) -> Iterable[str]:
        """What is wrong after the kill."""
        return store_problems(case.home)

    def check_finished(self, case: Case) -> Iterable[str]:
        """What is wrong after the command ended by itself."""
        return ()

    # --- running --------------------------------------------------------------------------------

    def start(self, case: Case) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", *map(str, self.arguments(case))]
        with (case.folder / "output").open("wb") as out, (case.folder / "errors").open("wb") as err:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**case.environment, **self.environment()},
            )

    def finish(self, case: Case) -> Iterator[str]:
        """Run the command to its end; what is wrong then."""
        process = self.start(case)
        try:
            code = process.wait(LONGEST_RUN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            yield f"did not end within {LONGEST_RUN_S:.0f} s"
            return
        if code:
            yield f"the same command failed with {code}: {last_line(case.folder / 'errors')}"
            return
        yield from self.check_finished(case)


def last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""


def emptied(case: Case) -> Case:
    """``case`` with an empty folder."""
    shutil.rmtree(case.folder, ignore_errors=True)
    case.folder.mkdir(parents=True)
    return case


def prepare_command(command: KilledCommand, folder: Path) -> RunCase:
    """Measure undisturbed runs of ``command``; the function that kills it.

    Raises:
        FailedWithoutKill: it does not end as it should.
    """
    lives = []
    for variant in range(command.variants):
        case = emptied(Case(variant, folder / f"undisturbed-{variant}"))
        command.fill(case)
        began = time.monotonic()
        if failures := [*command.finish(case)]:
            raise FailedWithoutKill(f"without a kill: {failures[0]}")
        lives.append(time.monotonic() - began)

    def run(case: Case) -> Outcome:
        return kill_and_resume(command, case, lives[case.number % command.variants])

    return run


def kill_and_resume(command: KilledCommand, case: Case, life_s: float) -> Outcome:
    """Kill ``command`` once, at a moment of the ``life_s`` seconds that it takes."""
    outcome, chance = Outcome(), random.Random(case.number)
    while True:
        emptied(case)
        command.fill(case)
        began, process = time.monotonic(), command.start(case)
        after_s = chance.uniform(0.0, life_s * _LATEST)
        try:
            code = process.wait(max(0.0, began + after_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            break
        if code:
            line = last_line(case.folder / "errors")
            return Outcome([f"failed without a kill, {code}: {line}"])
    process.kill()
    process.wait()
    at = f"killed after {after_s:.2f} of {life_s:.2f} s"
    outcome.failures += [f"{at}: {failure}" for failure in case.orphans(time.monotonic())]
    outcome.failures += [f"{at}: {failure}" for failure in command.check_killed(case)]
    outcome.failures += [f"{at}, resumed: {failure}" for failure in command.finish(case)]
    if not outcome.failures:
        outcome.failures += [f"{at}, resumed: {failure}" for failure in case.leftovers()]
    kill_all(case.home)
    return outcome
