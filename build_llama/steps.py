"""How far an installation is, from the lines that pip, CMake, ninja and make print."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NINJA = re.compile(r"\s*\[(\d+)/(\d+)\] ")
_MAKE = re.compile(r"\s*\[ *(\d+)%\] ")

COMPILING = "Compiling llama.cpp"
PHASES = (
    "Downloading llama.cpp",
    "Preparing to compile llama.cpp",
    "Configuring llama.cpp",
    COMPILING,
    "Installing llama.cpp",
)
# Where a line begins so, the phase of that position begins. pip indents what it prints about
# packages that are needed only to build.
_PHASE_STARTS = (
    ("Downloading ", "  Downloading "),
    ("  Installing build dependencies",),
    ("  *** Configuring CMake",),
    ("  *** Building project",),
    ("  *** Installing project", "Installing collected packages"),
)


@dataclass(frozen=True)
class Step:
    """``done`` of ``total`` steps of a compile; make counts only in percent."""

    done: int
    total: int
    unit: str = ""

    @property
    def fraction(self) -> float:
        return self.done / self.total

    def __str__(self) -> str:
        return f"{self.done} %" if self.unit == "%" else f"{self.done} of {self.total}"


def read_step(line: str) -> Step | None:
    """The step that a line of ninja (``[3/61] ...``) or make (``[ 12%] ...``) reports, if any."""
    if match := _NINJA.match(line):
        done, total = int(match[1]), int(match[2])
        return Step(done, total) if 0 < done <= total else None
    if match := _MAKE.match(line):
        return Step(int(match[1]), 100, "%")
    return None


def read_phase(line: str) -> int | None:
    """The position in ``PHASES`` of what begins with this line of pip, if anything does."""
    for phase, starts in enumerate(_PHASE_STARTS):
        if line.startswith(starts):
            return phase
    return None
