"""What a torture scenario reports: how often something was tried, and each time it broke."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Case = TypeVar("Case")


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the report."""

    promise: str
    """What must hold in every case, such as ``client killed: nothing is lost``."""
    tried: int
    """How many cases there were."""
    broken: tuple[str, ...] = ()
    """A line for each case in which it did not hold, with what repeats that case."""
    measured: str = ""
    """A value worth knowing, such as ``at most 180 ms of text lost``."""


@dataclass(frozen=True, slots=True)
class Options:
    """How much of a scenario runs."""

    share: float = 1.0
    """The part of the full number of cases, more than 0 and at most 1."""
    seed: int = 0
    """Number of the first case; the number of a case is the seed of its random choices."""
    only: int | None = None
    """The one case to repeat."""

    def cases(self, full: int) -> range:
        """The numbers of the cases to run, of ``full`` in a complete run."""
        if self.only is not None:
            return range(self.only, self.only + 1)
        return range(self.seed, self.seed + max(1, round(full * self.share)))

    def part(self, full: float) -> float:
        """``full`` turns or seconds, scaled by the share."""
        return full * self.share


Scenario = Callable[[Options], Iterator[Figure]]


def examine(promise: str, cases: Iterable[Case], check: Callable[[Case], str | None]) -> Figure:
    """A figure from a check that returns what broke in a case, or None."""
    tried = 0
    broken = []
    for case in cases:
        tried += 1
        if (failure := check(case)) is not None:
            broken.append(f"case {case}: {failure}")
    return Figure(promise, tried, tuple(broken))
