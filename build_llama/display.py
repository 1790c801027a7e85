"""Shows how far an installation is: one line that changes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import shutil
from time import monotonic
from typing import TextIO

from baize_shared.progress import TimeLeft, bar
from build_llama.steps import COMPILING, PHASES, Step, read_phase, read_step

PLAIN_LINE_EVERY_S = 20.0
_CLEAR_LINE = "\r\x1b[K"


class Display:
    """Reads the output of pip line by line and shows phase, steps and time left."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty() and os.environ.get("TERM") != "dumb"
        self._printed: tuple[int, float] = (-1, 0.0)
        self.restart()

    def restart(self) -> None:
        """Begin anew, with another attempt."""
        self._phase = -1
        self._step: Step | None = None
        self._time_left = TimeLeft()

    def read(self, line: str) -> None:
        """Take note of one line of output, and show what it changes."""
        phase = read_phase(line)
        if phase is not None and phase > self._phase:
            self._phase, self._step = phase, None
            self.refresh()
        elif self._phase >= 0 and PHASES[self._phase] == COMPILING and (step := read_step(line)):
            self._step = step
            self.refresh()

    def refresh(self) -> None:
        """Show the current state; called about once a second, it keeps the time left true."""
        if self._phase < 0:
            return
        text = self._text()
        if self._terminal:
            cells = shutil.get_terminal_size().columns - 1
            self._out.write(_CLEAR_LINE + text[:cells])
            self._out.flush()
            return
        phase, shown = self._printed
        if phase != self._phase or monotonic() - shown >= PLAIN_LINE_EVERY_S:
            self._printed = (self._phase, monotonic())
            print(text, file=self._out, flush=True)

    def say(self, text: str) -> None:
        """Print a line that stays, in the place of the progress line."""
        print((_CLEAR_LINE if self._terminal else "") + text, file=self._out, flush=True)

    def _text(self) -> str:
        if self._step is None:
            return f"{PHASES[self._phase]} …"
        done = self._step.fraction
        parts = [PHASES[self._phase], bar(done), str(self._step), self._time_left.after(done)]
        if not self._terminal:
            del parts[1]
        return "  ".join(part for part in parts if part)
