"""``baize-tui ask``, killed: what it printed is kept, and it can be asked again."""

from __future__ import annotations

import os
import random
import select
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.client_terminal import QUESTION, letters
from benchmarks.killing.cases import Case, FailedWithoutKill, Outcome, RunCase, emptied
from benchmarks.killing.stored_words import (
    oldest_loss,
    opened,
    store_problems,
    stored_letters,
    stored_messages,
)

MOST_LOST_S = 0.25
FIRST_QUESTION = "What is the capital of France?"
_SETTINGS = "[sampling]\nseed = 1\n[model]\nthreads = 1\n[chat]\nmax_tokens = 150\n"


class _Asked:
    """A process, and when each part of its answer was printed."""

    def __init__(self, case: Case, *arguments: str) -> None:
        self.printed: dict[str, float] = {}
        """Letters of the answer so far, and the time of ``time.monotonic``."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "baize_tui", "ask", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=case.environment,
        )

    def read_until(self, end: float) -> bool:
        """Read what is printed until the time ``end``; whether the process still runs then."""
        assert self._process.stdout is not None
        said, output = b"", self._process.stdout.fileno()
        while select.select([output], [], [], max(0.0, end - time.monotonic()))[0]:
            if not (piece := os.read(output, 1 << 16)):
                self._process.wait()
                return False
            said += piece
            so_far = letters(said.decode(errors="ignore"))
            if so_far:
                self.printed.setdefault(so_far, time.monotonic())
        return True

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def finish(self) -> tuple[int, str]:
        """Its exit code and its last line on stderr."""
        _, errors = self._process.communicate()
        lines = errors.decode(errors="replace").strip().splitlines()
        return self._process.returncode, lines[-1] if lines else ""


def prepare_ask(folder: Path, stack: ExitStack) -> RunCase:
    """A home with a conversation; every second case asks in that."""
    before = emptied(Case(0, folder / "before"))
    before.settings(_SETTINGS)
    _ask_undisturbed(before, FIRST_QUESTION)
    session = _only_conversation(before)
    whole = emptied(Case(0, folder / "whole"))
    whole.settings(_SETTINGS)
    began = time.monotonic()
    _ask_undisturbed(whole, QUESTION)
    life_s = time.monotonic() - began

    def run(case: Case) -> Outcome:
        in_session = bool(case.number % 2)
        arguments = (QUESTION, *(("--session", session) if in_session else ()))
        chance = random.Random(case.number)
        while True:
            emptied(case)
            if in_session:
                shutil.copytree(before.home, case.home)
            else:
                case.settings(_SETTINGS)
            known = stored_messages(case.home)
            began, asked = time.monotonic(), _Asked(case, *arguments)
            if asked.read_until(began + chance.uniform(0.0, life_s)):
                break
            code, why = asked.finish()
            if code:
                return Outcome([f"failed without a kill, {code}: {why}"])
        outcome = _kill(asked, case, known)
        outcome.failures += _ask_again(case, arguments)
        return outcome

    return run


def _ask_undisturbed(case: Case, question: str) -> None:
    code, why = _Asked(case, question).finish()
    if code:
        raise FailedWithoutKill(f"without a kill: {why}")


def _only_conversation(case: Case) -> str:
    with opened(case.home) as connection:
        ((id,),) = connection.execute("SELECT id FROM conversation").fetchall()
    return str(id)


def _kill(asked: _Asked, case: Case, known: list[tuple[int, str, str, str]]) -> Outcome:
    """Kill a process; ``known`` are the messages that were there before."""
    outcome, at = Outcome(), time.monotonic()
    asked.kill()
    outcome.failures += case.orphans(at)
    outcome.failures += store_problems(case.home)
    if stored_messages(case.home)[: len(known)] != known:
        outcome.failures.append("the earlier messages have changed")
    lost_s, missing, text = oldest_loss(asked.printed, stored_letters(case.home), at)
    outcome.lost_ms, outcome.lost_characters = lost_s * 1000, missing
    if lost_s > MOST_LOST_S:
        end = text[-40:]
        outcome.failures.append(f"printed {lost_s * 1000:.0f} ms before, not kept: {end}")
    return outcome


def _ask_again(case: Case, arguments: tuple[str, ...]) -> list[str]:
    """Run the same command to its end; what is wrong then."""
    failures = []
    code, why = _Asked(case, *arguments).finish()
    messages = stored_messages(case.home)
    if code or not messages or messages[-1][1:3] != ("assistant", "complete"):
        failures.append(f"asked again: {code}, {why}")
    failures += store_problems(case.home)
    failures += case.orphans(time.monotonic())
    failures += case.leftovers()
    return failures
