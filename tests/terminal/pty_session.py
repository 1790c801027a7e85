"""A program in a pseudo-terminal: it types keys, records every byte, and emulates the screen."""

from __future__ import annotations

import os
import signal
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import pexpect
import pyte

from tests.conftest import PATIENCE_S

ALTERNATE_SCREEN, _CLEAR = b"\x1b[?1049h", b"\x1b[2J"
PROGRAM = [sys.executable, "-m", "baize_tui"]


def has_answered(screen: str) -> bool:
    """Whether the status line shows how fast the last answer was: none is in progress."""
    status = screen.rpartition("\n")[2]
    return "tokens/s" in status and "answering" not in status


class PtySession:
    """``baize-tui`` with ``arguments`` in a terminal of ``columns`` by ``lines``."""

    def __init__(
        self,
        *arguments: str,
        columns: int = 100,
        lines: int = 30,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.written = b""
        self._terminal_closed = self._reaped = False
        self._status = 0
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._child = pexpect.spawn(
            program[0],
            [*program[1:], *arguments],
            dimensions=(lines, columns),
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
            | dict(environment or {}),
            timeout=PATIENCE_S,
        )

    @property
    def pid(self) -> int:
        return int(self._child.pid)

    def read(self) -> None:
        """Read what the program has written so far."""
        try:
            while True:
                chunk = self._child.read_nonblocking(1 << 16, timeout=0.02)
                self.written += chunk
                self._show(chunk)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return

    def _show(self, chunk: bytes) -> None:
        """Emulate what the program wrote; pyte has no alternate screen, which begins empty."""
        before, *others = chunk.split(ALTERNATE_SCREEN)
        self._stream.feed(before)
        for after in others:
            self._stream.feed(_CLEAR + after)

    @property
    def screen(self) -> str:
        self.read()
        return "\n".join(line.rstrip() for line in self._screen.display)

    def wait_for(self, wanted: str | Callable[[str], bool]) -> str:
        """Wait until the screen shows a text, or a condition on it holds."""
        end = time.monotonic() + PATIENCE_S
        while True:
            screen = self.screen
            if wanted(screen) if callable(wanted) else wanted in screen:
                return screen
            assert time.monotonic() < end, f"{wanted!r} did not come:\n{screen}"

    def type(self, keys: str) -> None:
        self._child.send(keys)

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the terminal."""
        self.read()
        self._screen.resize(lines, columns)
        self._child.setwinsize(lines, columns)

    def wait_for_end(self) -> int:
        """The exit code, or minus the signal."""
        end = time.monotonic() + PATIENCE_S
        if self._terminal_closed:
            while not self._reaped:
                assert time.monotonic() < end, "it did not end"
                self._reap()
            return os.waitstatus_to_exitcode(self._status)
        while self._child.isalive():
            self.read()
            assert time.monotonic() < end, f"it did not end:\n{self.screen}"
        self.read()
        self._child.close()
        if self._child.signalstatus is not None:
            return -int(self._child.signalstatus)
        return int(self._child.exitstatus or 0)

    def close_terminal(self) -> None:
        """Close the terminal: the program gets SIGHUP, and its writes fail."""
        # Not os.close: the file object would close the same number again, then of another terminal.
        self._child.ptyproc.fileobj.close()
        self._terminal_closed = True

    def _reap(self) -> None:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self._reaped, self._status = True, status

    @property
    def attributes(self) -> list[object]:
        """The settings of the terminal, from ``termios.tcgetattr``."""
        return termios.tcgetattr(self._child.child_fd)

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal_closed:
            if not self._reaped:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            return
        if self._child.isalive():
            self._child.kill(signal.SIGKILL)
            self._child.wait()
        self._child.close()


CTRL_B, CTRL_G, CTRL_N, CTRL_Q, ESCAPE, ENTER, DOWN = (
    "\x02",
    "\x07",
    "\x0e",
    "\x11",
    "\x1b",
    "\r",
    "\x1b[B",
)
