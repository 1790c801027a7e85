"""Shows the progress of an installation: one changing line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import shutil
from time import monotonic
from typing import TextIO

from baize_shared.progress import TimeLeft, bar
from build_llama.steps import Phase, Step, read_phase, read_step

PLAIN_LINE_EVERY_S = 20.0
_CLEAR_LINE = "\r\x1b[K"


class Display:
    """Reads the output of pip line by line and shows phase, steps and time left."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty() and os.environ.get("TERM") != "dumb"
        self._printed: tuple[Phase | None, float] = (None, 0.0)
        self.restart()

    def restart(self) -> None:
        """Start again, for another attempt."""
        self._phase: Phase | None = None
        self._step: Step | None = None
        self._time_left = TimeLeft()

    def read(self, line: str) -> None:
        """Read one line of output, and show the progress that it reports."""
        phase = read_phase(line)
        if phase is not None and (self._phase is None or phase > self._phase):
            self._phase, self._step = phase, None
            self.refresh()
        elif self._phase is Phase.COMPILE and (step := read_step(line)):
            self._step = step
            self.refresh()

    def refresh(self) -> None:
        """Show the current state; call it about once a second, so that the time left stays true."""
        if self._phase is None:
            return
        text = self._text(self._phase)
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
        """Print a permanent line in the place of the progress line."""
        print((_CLEAR_LINE if self._terminal else "") + text, file=self._out, flush=True)

    def _text(self, phase: Phase) -> str:
        if self._step is None:
            return f"{phase.title} …"
        done = self._step.fraction
        parts = [phase.title, bar(done), str(self._step), self._time_left.after(done)]
        if not self._terminal:
            del parts[1]
        return "  ".join(part for part in parts if part)
