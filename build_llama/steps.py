"""How far an installation is, from the lines that pip, CMake, ninja and make print."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NINJA = re.compile(r"\s*\[(\d+)/(\d+)\] ")
_MAKE = re.compile(r"\s*\[ *(\d+)%\] ")

COMPILING = "Compiling llama.cpp"
_PHASES = (
    ("Downloading ", "Downloading llama.cpp"),
    ("Installing build dependencies", "Preparing the build of llama.cpp"),
    ("Building wheel for llama", "Preparing the build of llama.cpp"),
    ("*** Configuring CMake", "Configuring llama.cpp"),
    ("*** Building project", COMPILING),
    ("*** Installing project", "Installing llama.cpp"),
    ("Installing collected packages", "Installing llama.cpp"),
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


def read_phase(line: str) -> str | None:
    """What the installation does from this line of pip on, in words for the person who waits."""
    line = line.strip()
    for start, phase in _PHASES:
        if line.startswith(start):
            return phase
    return None
