"""A reader, how its input is spoiled, and the command that reads it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.hostile.sandbox import Sandbox

Serving = Callable[[], object]
"""Answers requests in a process of its own, without end."""


@dataclass(frozen=True)
class Use:
    """A command and what it gets."""

    program: str
    arguments: tuple[object, ...]
    stdin: Path | None = None
    codes: tuple[int, ...] = (0, 1)
    """Exit codes that it may have; 2 is a wrong use, as of an option."""
    serving: Serving | None = None
    most_lines: int = 1
    """Lines of what is wrong, on stderr: notices come before, and some commands list problems."""


@dataclass(frozen=True)
class Subject:
    """A kind of input."""

    name: str
    count: int
    """Inputs in a full run."""
    write: Callable[[random.Random, Sandbox], Use]
    """Writes an input into the sandbox; the same random numbers give the same input."""
