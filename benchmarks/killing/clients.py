"""The client in a terminal, and its worker alone, killed at moments that a person would notice."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, get_args

import psutil

from benchmarks.client_terminal import (
    ALT_E,
    CTRL_N,
    CTRL_Q,
    ENTER,
    PATIENCE_S,
    QUESTION,
    ClientTerminal,
    bring_to_load,
    bring_to_prefill,
    client_processes,
    is_ready,
    kill_all,
    letters,
    shown_answer,
    wait_for_end,
)
from benchmarks.killing.cases import Case, Outcome, RunCase
from benchmarks.killing.stored_words import (
    has_answered,
    oldest_loss,
    store_problems,
    stored_letters,
    stored_messages,
)

Moment = Literal["start", "load", "prefill", "streaming", "title", "draft", "edit", "next", "quit"]
MOMENTS: tuple[Moment, ...] = get_args(Moment)
WORKER_MOMENTS: tuple[Moment, ...] = ("load", "prefill", "streaming", "title", "next")
MOST_LOST_S = 0.25
SHORT_QUESTION = "What is the capital of France?"
LONG_QUESTION = "word " * 250
_NO_TEXT = re.compile(r" tokens/s| reused|queued for |alt\+q edits")
"""Lines about an answer."""
_NAMES = ("fox", "hen", "owl", "cow", "bee", "ant", "elk", "eel", "cod", "yak")


class WatchedTerminal(ClientTerminal):
    """A client that keeps when each line of an answer, and each typed word, was first shown."""

    def __init__(self, case: Case, *arguments: str) -> None:
        self.answers: dict[str, float] = {}
        """Letters of lines, and the time of ``time.monotonic`` at which they were shown."""
        self.drafts: dict[str, float] = {}
        self.watches = True
        self._asked: tuple[str, ...] = ()
        self._typed: list[str] = []
        environment = {"BAIZE_FLASH_ATTENTION": "on", "LANGUAGE": "en"}
        super().__init__(case.home, *arguments, environment=environment)

    def note_output(self) -> None:
        if not self.watches:
            return
        now, lines = time.monotonic(), self.lines
        if any(line.strip().startswith(self._asked) for line in lines if self._asked):
            for line in shown_answer(lines):
                if not _NO_TEXT.search(line):
                    self.answers.setdefault(letters(line), now)
        if self._typed:
            screen = "\n".join(lines)
            for word in self._typed:
                if word in screen:
                    self.drafts.setdefault(word, now)

    def ask(self, question: str) -> None:
        super().ask(question)
        self._asked = (*self._asked, f"▌ {question[:20]}")

    def write(self, chance: random.Random, longest_s: float) -> None:
        """Type words that are not sent, for a random time."""
        end = time.monotonic() + chance.uniform(0.0, longest_s)
        while time.monotonic() < end:
            word = f"{chance.choice(_NAMES)}{chance.randrange(10**6)}"
            self._typed.append(word)
            self.type(f"{word} ".encode())
            self.read(chance.uniform(0.0, 0.3))


def prepare_client(folder: Path, stack: ExitStack) -> RunCase:
    return _run_killed_client


def prepare_worker(folder: Path, stack: ExitStack) -> RunCase:
    return _run_killed_worker


# --- the client -------------------------------------------------------------------------------


def _run_killed_client(case: Case) -> Outcome:
    chance, outcome = random.Random(case.number), Outcome()
    moment = MOMENTS[case.number % len(MOMENTS)]
    _settings(case, 400)
    with _watched(case, moment, outcome) as terminal:
        _bring_to(moment, terminal, case, chance)
        at = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(terminal.client, signal.SIGKILL)
        wait_for_end(terminal, PATIENCE_S)
        terminal.close()
        outcome.failures += case.orphans(at)
        outcome.failures += store_problems(case.home)
        _check_words(outcome, terminal, stored_letters(case.home), at)
        outcome.failures += _open_again(case)
    return outcome


@contextlib.contextmanager
def _watched(case: Case, moment: Moment, outcome: Outcome) -> Iterator[WatchedTerminal]:
    """A client whose processes end with the block; what fails is noted in ``outcome``."""
    terminal = WatchedTerminal(case)
    try:
        yield terminal
    except AssertionError as error:
        outcome.failures.append(str(error))
    finally:
        terminal.close()
        kill_all(case.home)
    outcome.failures = [f"{moment}: {failure}" for failure in outcome.failures]


def _settings(case: Case, max_tokens: int) -> None:
    answers = f"[model]\nthreads = 1\n[chat]\nmax_tokens = {max_tokens}\n"
    case.settings(f"[sampling]\nseed = {case.number}\n{answers}")


def _bring_to(moment: Moment, terminal: WatchedTerminal, case: Case, chance: random.Random) -> None:
    """Bring the client to ``moment``, and wait for a short random time."""
    if moment == "start":
        terminal.read(chance.uniform(0.0, 1.5))
        return
    if moment == "load":
        bring_to_load(terminal, chance)
        return
    terminal.wait_for(is_ready)
    if moment == "prefill":
        bring_to_prefill(terminal, LONG_QUESTION)
        terminal.read(chance.uniform(0.0, 2.0))
    elif moment == "streaming":
        terminal.ask(QUESTION)
        terminal.wait_for(lambda screen: "answering" in screen or "tokens/s" in screen)
        terminal.read(chance.uniform(0.0, 5.0))
    elif moment == "draft":
        terminal.write(chance, 2.0)
    else:
        terminal.ask(SHORT_QUESTION)
        if moment == "next":
            terminal.wait_for(lambda screen: f"▌ {SHORT_QUESTION}" in screen)
            terminal.read(chance.uniform(0.0, 1.0))
            terminal.type(CTRL_N)
            terminal.wait_for(lambda screen: "Type below" in screen)
            terminal.ask(QUESTION)
            terminal.read(chance.uniform(0.0, 3.0))
            return
        terminal.wait_for(lambda _: has_answered(case.home, 0))
        if moment == "edit":
            terminal.type(ALT_E)
            terminal.write(chance, 2.0)
        elif moment == "quit":
            terminal.type(CTRL_Q)
            terminal.read(chance.uniform(0.0, 0.3))
        else:
            terminal.read(chance.uniform(0.0, 2.0))


def _check_words(
    outcome: Outcome,
    terminal: WatchedTerminal,
    kept: str,
    at: float,
    *,
    most_lost_s: float = MOST_LOST_S,
) -> None:
    """Compare what was shown until the kill, at the time ``at``, with ``kept``."""
    lost_s, missing, text = max(
        oldest_loss(shown, kept, at) for shown in (terminal.answers, terminal.drafts)
    )
    outcome.lost_ms, outcome.lost_characters = lost_s * 1000, missing
    if lost_s > most_lost_s:
        outcome.failures.append(f"shown for {lost_s * 1000:.0f} ms, not kept: {text}")


def _open_again(case: Case) -> list[str]:
    """Start the client that was killed again, ask and quit; what fails."""
    before = stored_messages(case.home)
    _settings(case, 30)
    terminal = WatchedTerminal(case, *(["--continue"] if before else []))
    failures = []
    try:
        terminal.wait_for(lambda screen: is_ready(screen) or "enter creates a branch" in screen)
        failures += _ask_and_quit(terminal, case)
        now = {id: text for id, _, _, text in stored_messages(case.home)}
        failures += [
            f"changed by opening it again: message {id}"
            for id, _, _, text in before
            if now.get(id) != text
        ]
        failures += store_problems(case.home)
        failures += case.leftovers()
    except AssertionError as error:
        failures.append(f"opened again: {error}")
    finally:
        terminal.close()
    return failures


def _ask_and_quit(terminal: WatchedTerminal, case: Case) -> list[str]:
    """Have a question answered, quit, and see that no process is left; what fails."""
    last = max((id for id, *_ in stored_messages(case.home)), default=0)
    terminal.type(SHORT_QUESTION.encode() + ENTER)
    terminal.wait_for(lambda _: has_answered(case.home, last))
    state = next(s for id, role, s, _ in stored_messages(case.home) if id > last and role[0] == "a")
    failures = [] if state == "complete" else [f"the next answer is {state}"]
    terminal.type(CTRL_Q)
    ended, code = wait_for_end(terminal, PATIENCE_S)
    if not ended or code != 0:
        failures.append(f"quit with {code}" if ended else "did not quit")
    return failures + case.orphans(time.monotonic())


# --- its worker -------------------------------------------------------------------------------


def _run_killed_worker(case: Case) -> Outcome:
    chance, outcome = random.Random(case.number), Outcome()
    moment = WORKER_MOMENTS[case.number % len(WORKER_MOMENTS)]
    _settings(case, 150)
    with _watched(case, moment, outcome) as terminal:
        terminal.wait_for(lambda _: bool(_workers(case)))
        _bring_to(moment, terminal, case, chance)
        at, terminal.watches = time.monotonic(), False  # notices follow
        for worker in _workers(case):
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
        asked = moment != "load" or bool(stored_messages(case.home))
        terminal.wait_for(lambda screen: is_ready(screen) and (not asked or _all_ended(case)))
        _check_words(outcome, terminal, stored_letters(case.home), at, most_lost_s=0.0)
        outcome.failures += _ask_and_quit(terminal, case)
        outcome.failures += store_problems(case.home)
        outcome.failures += case.leftovers()
    return outcome


def _workers(case: Case) -> list[psutil.Process]:
    workers = []
    for process in client_processes(case.home):
        with contextlib.suppress(psutil.Error):
            if "baize_tui.engine.worker" in process.cmdline():
                workers.append(process)
    return workers


def _all_ended(case: Case) -> bool:
    """Whether each question has an answer that has ended."""
    messages = stored_messages(case.home)
    answers = [state for _, role, state, _ in messages if role == "assistant"]
    return len(answers) * 2 == len(messages) and "streaming" not in answers
