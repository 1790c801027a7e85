"""Shows how far an installation is: one line that changes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import shutil
from time import monotonic
from typing import TextIO

from baize_tui.progress import TimeLeft, bar
from build_llama.steps import COMPILING, Step, read_phase, read_step

PLAIN_LINE_EVERY_S = 20.0
_CLEAR_LINE = "\r\x1b[K"


class Display:
    """Reads the output of pip line by line and shows phase, steps and time left."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty() and os.environ.get("TERM") != "dumb"
        self._phase = ""
        self._step: Step | None = None
        self._time_left = TimeLeft()
        self._printed = ("", 0.0)

    def read(self, line: str) -> None:
        """Take note of one line of output, and show what it changes."""
        phase, step = read_phase(line), read_step(line)
        if phase is not None and phase != self._phase:
            self._phase, self._step, self._time_left = phase, None, TimeLeft()
        elif step is not None and self._phase == COMPILING:
            self._step = step
        else:
            return
        self.refresh()

    def refresh(self) -> None:
        """Show the current state; call it about once a second."""
        if not self._phase:
            return
        if self._terminal:
            cells = shutil.get_terminal_size().columns - 1
            self._out.write(_CLEAR_LINE + self._text(with_bar=True)[:cells])
            self._out.flush()
            return
        phase, shown = self._printed
        if phase != self._phase or monotonic() - shown >= PLAIN_LINE_EVERY_S:
            self._printed = (self._phase, monotonic())
            print(self._text(with_bar=False), file=self._out, flush=True)

    def say(self, text: str) -> None:
        """Print a line that stays, in the place of the progress line."""
        print((_CLEAR_LINE if self._terminal else "") + text, file=self._out, flush=True)

    def restart(self) -> None:
        """Forget phase and steps, before another attempt."""
        self._phase, self._step = "", None

    def _text(self, with_bar: bool) -> str:
        if self._step is None:
            return f"{self._phase} …"
        parts = [str(self._step), self._time_left.after(self._step.fraction)]
        counts = " · ".join(part for part in parts if part)
        return f"{self._phase}  {bar(self._step.fraction)}  {counts}" if with_bar else (
            f"{self._phase}: {counts}"
        )
