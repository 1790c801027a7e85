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
import fcntl
import os
import pty
import random
import re
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import psutil
import pyte

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_tui.store.conversations import Store

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
PATIENCE_S = 60.0
COLUMNS, LINES = 58, 30
"""Narrow, so that the screen shows only the conversation."""
QUESTION = "Write a very long story about a dragon and a knight."
LONG_QUESTION = "word " * 1500
DIALOGS = {"help": b"\x1bOP", "settings": b"\x1bOS", "models": b"\x1bm", "palette": b"\x10"}
ENTER, CTRL_O, CTRL_Q, CTRL_Z = b"\r", b"\x0f", b"\x11", b"\x1a"
PROMPT = b"ready-to-start "
_FORKING = threading.Lock()
"""Held while forking: a terminal that another child inherits does not close with its window."""


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


class Terminal:
    """The client in a terminal, alone or started from a shell, and the content of its screen."""

    def __init__(self, home: Path, *, shell: bool) -> None:
        client = [sys.executable, "-m", "baize_tui"]
        program = ["bash", "--norc", "--noprofile", "-i"] if shell else client
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._shell = shell
        with _FORKING:
            self.child, self._master = pty.fork()
            if self.child:
                os.set_inheritable(self._master, False)
        if self.child == 0:
            os.environ.update(
                BAIZE_HOME=str(home),
                TERM="xterm-256color",
                PS1=PROMPT.decode(),
                VISUAL="tail -f",
                COLUMNS=str(COLUMNS),
            )
            with contextlib.suppress(OSError):
                os.execvp(program[0], program)
            os._exit(127)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.client = self.child
        if shell:
            self.wait_for(lambda screen: PROMPT.decode().strip() in screen)
            self.type(" ".join(client).encode() + ENTER)
            shell_process = psutil.Process(self.child)
            self.wait_for(lambda _: bool(shell_process.children()))
            self.client = shell_process.children()[0].pid

    def read(self, wait_s: float = 0.0) -> None:
        """Read the output of ``wait_s`` seconds."""
        if self._master < 0:
            time.sleep(wait_s)
            return
        end = time.monotonic() + wait_s
        while select.select([self._master], [], [], max(0.0, end - time.monotonic()))[0]:
            try:
                self._stream.feed(os.read(self._master, 1 << 16))
            except OSError:  # the last writer has ended
                return
            if time.monotonic() >= end:
                return

    @property
    def lines(self) -> list[str]:
        # Not display, which fails on some wide characters at the edge.
        rows = (self._screen.buffer[row] for row in range(LINES))
        return ["".join(row[column].data for column in range(COLUMNS)).rstrip() for row in rows]

    def wait_for(self, condition: Callable[[str], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition("\n".join(self.lines)):
            assert time.monotonic() < end, "the condition was not met:\n" + "\n".join(self.lines)
            self.read(0.02)

    def type(self, keys: bytes) -> None:
        """Send ``keys``, and read meanwhile, because the buffer of a terminal is small."""
        while keys:
            keys = keys[os.write(self._master, keys[:512]) :]
            self.read(0.002)

    def close(self) -> None:
        """Close the window, if it is still open."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def ended(self) -> tuple[bool, int | None]:
        """Whether the client has ended, and its exit code if it is a child of this process."""
        if self._shell:
            try:
                return psutil.Process(self.client).status() == psutil.STATUS_ZOMBIE, None
            except psutil.NoSuchProcess:
                return True, None
        pid, status = os.waitpid(self.child, os.WNOHANG)
        return bool(pid), os.waitstatus_to_exitcode(status) if pid else None


def client_processes(home: Path) -> list[psutil.Process]:
    """Every process with this home folder in its environment, except zombies."""
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            ours = process.environ().get("BAIZE_HOME") == str(home)
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
    return processes


def is_ready(screen: str) -> bool:
    return "moderated" in screen and "loading" not in screen


def bring_to_moment(moment: Moment, terminal: Terminal, chance: random.Random) -> None:
    """Bring the client to ``moment``, and wait for a short random time."""
    if moment == "start":
        terminal.read(chance.uniform(0.0, 1.2))
        return
    if moment == "load":
        terminal.wait_for(lambda screen: "loading" in screen or is_ready(screen))
        if chance.random() < 0.5:  # a question may come before the model is loaded
            terminal.type(QUESTION.encode() + ENTER)
        terminal.read(chance.uniform(0.0, 0.3))
        return
    terminal.wait_for(is_ready)
    if moment == "prefill":
        terminal.type(b"\x1b[200~" + LONG_QUESTION.encode() + b"\x1b[201~" + ENTER)
        terminal.wait_for(lambda screen: "reading the prompt" in screen or "answering" in screen)
        terminal.read(chance.uniform(0.0, 1.5))
        return
    if moment == "streaming" or chance.random() < 0.5:
        terminal.type(QUESTION.encode() + ENTER)
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


def end_client(end: End, terminal: Terminal, home: Path) -> None:
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


def shown_answer(lines: list[str]) -> list[str]:
    """The lines of the answer on the screen: below the question, above the prompt."""
    marked = [number for number, line in enumerate(lines) if line.strip().startswith("▌")]
    prompt = [number for number in marked if "Ask something" in lines[number]]
    questions = [number for number in marked if not prompt or number < prompt[0] - 1]
    if not prompt or not questions:
        return []  # a dialog, the editor or a shell
    below = lines[questions[-1] + 1 : prompt[0] - 1]
    return [line for line in below if line.strip() and "^g continues" not in line]


def letters(text: str) -> str:
    """The characters of ``text`` that Markdown does not change."""
    return re.sub(r"\W", "", text)


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
        terminal = Terminal(home, shell=shell)
        try:
            bring_to_moment(moment, terminal, chance)
            lines = terminal.lines
            at = time.monotonic()
            end_client(end, terminal, home)
            _wait_for_end(result, terminal, at, left_after_s)
            left = _wait_for_none(home, at + left_after_s)
            result.failures += [f"left: {' '.join(process.cmdline())[:80]}" for process in left]
            if (home / "data" / "conversations.db").exists():
                check_words(result, lines, home)
        except AssertionError as error:
            result.failures.append(str(error))
        finally:
            terminal.close()
            for process in client_processes(home):
                with contextlib.suppress(psutil.Error):
                    process.kill()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(terminal.child, 0)
    return result


def _wait_for_end(result: Result, terminal: Terminal, at: float, limit_s: float) -> None:
    ended = False
    while not ended and time.monotonic() < at + limit_s:
        ended, result.code = terminal.ended()
        terminal.read(0.002)
    result.exit_s = time.monotonic() - at


def _wait_for_none(home: Path, until: float) -> list[psutil.Process]:
    """The processes that are left at the time ``until``, except shells."""
    while True:
        left = [process for process in client_processes(home) if not _is_shell(process)]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.05)


def _is_shell(process: psutil.Process) -> bool:
    """Whether it is a shell, or has ended meanwhile."""
    with contextlib.suppress(psutil.Error):
        return "bash" in process.name()
    return True


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
