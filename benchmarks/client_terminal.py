"""The client in a pseudo-terminal: its screen, its processes, and the answer that it shows."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import random
import re
import select
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pyte

from baize_tui.app.conversation.texts import EXAMPLES

PATIENCE_S = 120.0
COLUMNS, LINES = 58, 30
"""Narrow, so that the screen shows only the conversation."""
QUESTION = "Write a very long story about a dragon and a knight."
LONG_QUESTION = "word " * 1500
ENTER, CTRL_B, CTRL_N, CTRL_O, CTRL_Q, CTRL_Z = b"\r", b"\x02", b"\x0e", b"\x0f", b"\x11", b"\x1a"
ESCAPE, ALT_E = b"\x1b", b"\x1be"
PROMPT = b"ready-to-start "
_FORKING = threading.Lock()
"""Held while forking: a terminal that another child inherits does not close with its window."""


class ClientTerminal:
    """The client in a terminal, alone or started from a shell, and the content of its screen."""

    def __init__(
        self,
        home: Path,
        *arguments: str,
        shell: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        client = [sys.executable, "-m", "baize_tui", *arguments]
        program = ["bash", "--norc", "--noprofile", "-i"] if shell else client
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._shell = shell
        self._output_ended = False
        with _FORKING:
            self.child, self._master = pty.fork()
            if self.child:
                os.set_inheritable(self._master, False)
        if self.child == 0:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored
            os.environ.update(
                BAIZE_HOME=str(home),
                TERM="xterm-256color",
                PS1=PROMPT.decode(),
                VISUAL="tail -f",
                COLUMNS=str(COLUMNS),
                **(environment or {}),
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
                self._output_ended = True
                return
            self.note_output()
            if time.monotonic() >= end:
                return

    def note_output(self) -> None:
        """The screen may have changed."""

    @property
    def lines(self) -> list[str]:
        # Not display, which fails on some wide characters at the edge.
        rows = (self._screen.buffer[row] for row in range(LINES))
        return ["".join(row[column].data for column in range(COLUMNS)).rstrip() for row in rows]

    def wait_for(self, condition: Callable[[str], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition("\n".join(self.lines)):
            waits = time.monotonic() < end and not self._output_ended
            assert waits, "the condition was not met:\n" + "\n".join(self.lines)
            self.read(0.02)

    def type(self, keys: bytes) -> None:
        """Send ``keys``, and read meanwhile, because the buffer of a terminal is small."""
        while keys:
            keys = keys[os.write(self._master, keys[:512]) :]
            self.read(0.002)

    def ask(self, question: str) -> None:
        """Send a message."""
        self.type(question.encode() + ENTER)

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


def processes_left(home: Path, until: float) -> list[psutil.Process]:
    """The processes with this home folder, except shells, that do not end before ``until``.

    ``until`` is a time of ``time.monotonic``.
    """
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


def kill_all(home: Path) -> None:
    """End every process with this home folder."""
    for process in client_processes(home):
        with contextlib.suppress(psutil.Error):
            process.kill()


def wait_for_end(terminal: ClientTerminal, limit_s: float) -> tuple[bool, int | None]:
    """Whether the client ended within ``limit_s`` seconds, and its exit code; see ``ended``."""
    until = time.monotonic() + limit_s
    ended, code = terminal.ended()
    while not ended and time.monotonic() < until:
        terminal.read(0.002)
        ended, code = terminal.ended()
    return ended, code


def is_ready(screen: str) -> bool:
    # The status line ends with "moderated" or "unmoderated", which a narrow screen cuts.
    return "modera" in screen and "loading" not in screen


def bring_to_load(terminal: ClientTerminal, chance: random.Random) -> None:
    """Wait for a random time while the model is loaded, often with a question that waits for it."""
    terminal.wait_for(lambda screen: "loading" in screen or is_ready(screen))
    if chance.random() < 0.5:
        terminal.ask(QUESTION)
    terminal.read(chance.uniform(0.0, 0.5))


def bring_to_prefill(terminal: ClientTerminal, question: str) -> None:
    """Paste and send a long ``question``, and wait until it is read."""
    terminal.type(b"\x1b[200~" + question.encode() + b"\x1b[201~" + ENTER)
    terminal.wait_for(lambda screen: "reading the prompt" in screen or "answering" in screen)


def shown_answer(lines: list[str]) -> list[str]:
    """The lines of the answer on the screen: below the question, above the prompt."""
    marked = [number for number, line in enumerate(lines) if line.strip().startswith("▌")]
    prompt = [number for number in marked if "Ask something" in lines[number]]
    questions = [number for number in marked if not prompt or number < prompt[0] - 1]
    if not prompt or not questions:
        return []  # a dialog, the editor or a shell
    below = lines[questions[-1] + 1 : prompt[0] - 1]
    if any(EXAMPLES[1] in line for line in below):
        return []  # the welcome, whose first example is a question of a case
    about = re.compile(r"\^g continues| · \d+ tokens?( |$)")  # said below a stopped answer
    return [line for line in below if line.strip() and not about.search(line)]


def letters(text: str) -> str:
    """The characters of ``text`` that Markdown does not change."""
    return re.sub(r"\W", "", text)
