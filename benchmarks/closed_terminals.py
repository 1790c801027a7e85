"""Close terminals at random moments: no process may be left, and no word on the screen lost::

    python benchmarks/closed_terminals.py                 # 200 cases
    python benchmarks/closed_terminals.py --cases 50:100  # some of them
    python benchmarks/closed_terminals.py --cases 57:58   # repeat one case

Each case opens the client with the real model in a terminal, waits for one of the ``MOMENTS`` and a
random pause, and ends the client in one of the ``ENDS``. The number of the case is the seed of all
random choices.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_tui.store.conversations import Store
from benchmarks.client_terminal import (
    CTRL_O,
    CTRL_Q,
    CTRL_Z,
    LONG_QUESTION,
    QUESTION,
    ClientTerminal,
    bring_to_load,
    bring_to_prefill,
    client_processes,
    is_ready,
    kill_all,
    letters,
    processes_left,
    shown_answer,
    wait_for_end,
)

Moment = Literal[
    "start", "load", "prefill", "streaming", "dialog", "editor", "suspended", "quitting"
]
End = Literal[
    "terminal closed",
    "terminal of its shell closed",
    "worker killed, then terminal closed",
    "SIGTERM",
    "SIGHUP",
]
MOMENTS: tuple[Moment, ...] = get_args(Moment)
ENDS: tuple[End, ...] = get_args(End)

CASES = 200
LONGEST_EXIT_S = 2.0
NOTHING_LEFT_S = 5.0
DIALOGS = {"help": b"\x1bOP", "settings": b"\x1bOS", "models": b"\x1bm", "palette": b"\x10"}


@dataclass
class Result:
    """The outcome of one case."""

    number: int
    moment: Moment
    end: End
    exit_s: float = 0.0
    code: int | None = None
    """None if a shell is the parent of the client."""
    failures: list[str] = field(default_factory=list)


def bring_to_moment(moment: Moment, terminal: ClientTerminal, chance: random.Random) -> None:
    """Bring the client to ``moment``, and wait for a short random time."""
    if moment == "start":
        terminal.read(chance.uniform(0.0, 1.2))
        return
    if moment == "load":
        bring_to_load(terminal, chance)
        return
    terminal.wait_for(is_ready)
    if moment == "prefill":
        bring_to_prefill(terminal, LONG_QUESTION)
        terminal.read(chance.uniform(0.0, 1.5))
        return
    if moment == "streaming" or chance.random() < 0.5:
        terminal.ask(QUESTION)
        terminal.wait_for(lambda screen: "answering" in screen or "tokens/s" in screen)
        terminal.read(chance.uniform(0.0, 3.0))
    if moment == "dialog":
        terminal.type(chance.choice(list(DIALOGS.values())))
    elif moment == "editor":
        terminal.type(CTRL_O)
    elif moment == "suspended":
        terminal.type(CTRL_Z)
        terminal.wait_for(lambda screen: "Stopped" in screen)
    elif moment == "quitting":
        terminal.type(CTRL_Q)
        terminal.read(chance.uniform(0.0, 0.2))
        return
    terminal.read(chance.uniform(0.0, 1.0))


def end_client(end: End, terminal: ClientTerminal, home: Path) -> None:
    if end.startswith("worker"):
        for process in client_processes(home):
            with contextlib.suppress(psutil.Error):
                if "baize_tui.engine.worker" in process.cmdline():
                    process.kill()
    if end.startswith("SIG"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(terminal.client, signal.Signals[end])
            os.kill(terminal.client, signal.SIGCONT)  # as a shell does for a stopped job
    else:
        terminal.close()


def check_words(result: Result, lines: list[str], home: Path) -> None:
    """Every word that was on the screen is in the store, and the store is whole."""
    screen = "\n".join(lines)
    store = Store(home / "data" / "conversations.db")
    texts = [m.text for c in store.conversations() for m in store.all_messages(c.id)]
    if store.damaged_file is not None:
        result.failures.append("the store is damaged")
    store.close()
    kept = letters("".join(texts))
    asked = any(line.strip().startswith("▌ Write a very long") for line in lines)
    if asked and QUESTION not in texts:
        result.failures.append("the question is lost")
    if "reading the prompt" in screen and result.moment == "prefill" and "wordword" not in kept:
        result.failures.append("the long question is lost")
    result.failures += [
        f"lost: {line.strip()}"
        for line in (shown_answer(lines) if asked else [])
        if letters(line) not in kept
    ]


def run_case(number: int, left_after_s: float = NOTHING_LEFT_S) -> Result:
    """Open, close and check one terminal; processes get ``left_after_s`` seconds to end."""
    chance = random.Random(number)
    moment = MOMENTS[number % len(MOMENTS)]
    ends = [end for end in ENDS if moment != "suspended" or "worker" not in end]
    end = chance.choice(ends)
    result = Result(number, moment, end)
    shell = "shell" in end or moment == "suspended"
    with tempfile.TemporaryDirectory(prefix="closed-") as folder:
        home = Path(folder)
        (home / "config").mkdir()
        (home / "config" / "config.toml").write_text(f"[sampling]\nseed = {number}\n")
        terminal = ClientTerminal(home, shell=shell)
        try:
            bring_to_moment(moment, terminal, chance)
            lines = terminal.lines
            at = time.monotonic()
            end_client(end, terminal, home)
            _, result.code = wait_for_end(terminal, left_after_s)
            result.exit_s = time.monotonic() - at
            left = processes_left(home, at + left_after_s)
            result.failures += [f"left: {' '.join(process.cmdline())[:80]}" for process in left]
            if (home / "data" / "conversations.db").exists():
                check_words(result, lines, home)
        except AssertionError as error:
            result.failures.append(str(error))
        finally:
            terminal.close()
            kill_all(home)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(terminal.child, 0)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", default=f"0:{CASES}", metavar="FIRST:END")
    parser.add_argument("--at-once", type=int, default=2, metavar="N")
    options = parser.parse_args()
    first, end = (int(part) for part in options.cases.split(":"))
    shown = threading.Lock()

    def run(number: int) -> Result:
        result = run_case(number)
        if result.exit_s > LONGEST_EXIT_S:
            result.failures.append(f"the client took {result.exit_s:.2f} s")
        with shown:
            print(f"\r{number}", end="", file=sys.stderr, flush=True)
            for failure in result.failures:
                print(f"\ncase {number} ({result.moment}, {result.end}): {failure}", flush=True)
        return result

    with ThreadPoolExecutor(options.at_once) as pool:
        results = list(pool.map(run, range(first, end)))
    print()
    rows: dict[str, Any] = {"moment": MOMENTS, "end": ENDS}
    for name, values in rows.items():
        for value in values:
            chosen = [result for result in results if getattr(result, name) == value]
            if chosen:
                times = [result.exit_s for result in chosen]
                failures = sum(bool(result.failures) for result in chosen)
                codes = collections.Counter(r.code for r in chosen if r.code is not None)
                counts = ", ".join(f"{code}: {count}" for code, count in sorted(codes.items()))
                print(
                    f"{value:36} {len(chosen):3} ended, {failures} failed,"
                    f" median {statistics.median(times):.2f} s, slowest {max(times):.2f} s"
                    f"  (exit codes {counts})"
                )
    failed = [result for result in results if result.failures]
    slowest = max(results, key=lambda result: result.exit_s)
    print(
        f"{len(results)} terminals, {len(failed)} failed; slowest exit {slowest.exit_s:.2f} s "
        f"(case {slowest.number}: {slowest.moment}, {slowest.end}; at most {LONGEST_EXIT_S:.0f})"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
