"""The progress of an installation, read from the output of pip, CMake, ninja and make."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

_NINJA = re.compile(r"\s*\[(\d+)/(\d+)\] ")
_MAKE = re.compile(r"\s*\[ *(\d+)%\] ")


class Phase(IntEnum):
    """The phases of an installation, in their order."""

    DOWNLOAD = 0
    PREPARE = 1
    CONFIGURE = 2
    COMPILE = 3
    INSTALL = 4

    @property
    def title(self) -> str:
        """The phase in words."""
        return _TITLES[self]


_TITLES = {
    Phase.DOWNLOAD: "Downloading llama.cpp",
    Phase.PREPARE: "Preparing to compile llama.cpp",
    Phase.CONFIGURE: "Configuring llama.cpp",
    Phase.COMPILE: "Compiling llama.cpp",
    Phase.INSTALL: "Installing llama.cpp",
}
# A phase begins with a line that starts like this. pip indents its output about packages that are
# needed only to build.
_PHASE_STARTS = {
    Phase.DOWNLOAD: ("Downloading ", "  Downloading "),
    Phase.PREPARE: ("  Installing build dependencies",),
    Phase.CONFIGURE: ("  *** Configuring CMake",),
    Phase.COMPILE: ("  *** Building project",),
    Phase.INSTALL: ("  *** Installing project", "Installing collected packages"),
}


@dataclass(frozen=True)
class Step:
    """``done`` of ``total`` compile steps; make counts only percent (``unit``)."""

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


def read_phase(line: str) -> Phase | None:
    """The phase that begins with this line of pip, if one does."""
    for phase, starts in _PHASE_STARTS.items():
        if line.startswith(starts):
            return phase
    return None
