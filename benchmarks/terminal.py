"""A program in a pseudo-terminal, and the times at which its output appears."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence

PATIENCE_S = 60.0


class TimedTerminal:
    """Starts ``arguments`` in a terminal of 100 by 30; ``started`` is the clock at the start."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.started = time.perf_counter()
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execvpe(
                arguments[0],
                list(arguments),
                {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
            )
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self._written = b""

    def seconds_until(self, *wanted: bytes) -> float:
        """Seconds from the start until all of ``wanted`` have been written."""
        end = time.perf_counter() + PATIENCE_S
        while not all(text in self._written for text in wanted):
            self.read(0.5)  # rarely, so that this process takes no core from the program
            assert time.perf_counter() < end, f"{wanted} did not appear: {self._written[-2000:]!r}"
        return time.perf_counter() - self.started

    def read(self, wait_s: float = 0.0) -> bool:
        """Read the output that is there; return whether there was any."""
        if not select.select([self._terminal], [], [], wait_s)[0]:
            return False
        try:
            self._written += os.read(self._terminal, 1 << 16)
        except OSError:  # the program has ended
            return False
        return True

    def forget(self) -> None:
        """Ignore all output until now."""
        self._written = b""

    def type(self, keys: bytes) -> None:
        """Send ``keys``, and read meanwhile, because the buffer of a terminal is small."""
        while keys:
            keys = keys[os.write(self._terminal, keys[:512]) :]
            self.read(0.002)

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._terminal)
