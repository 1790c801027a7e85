"""Types of command line options."""

from __future__ import annotations

import math
from dataclasses import dataclass

import typer

from baize_shared.number_limits import LARGEST_FLOAT


@dataclass(frozen=True)
class FiniteFloat:
    """An option that takes a number from ``min`` to ``max``, and neither ``inf`` nor ``nan``.

    Give it to typer as ``parser``: its own type of a float accepts both.
    """

    min: float = -LARGEST_FLOAT
    max: float = LARGEST_FLOAT
    above: float | None = None
    """The number has to be larger than this one."""

    __name__ = "float"
    """typer shows it in ``--help``."""

    def __call__(self, value: str | float) -> float:
        """The number in ``value``.

        Raises:
            typer.BadParameter: it is not a number, or out of range; typer adds the option's name.
        """
        try:
            number = float(value)
        except ValueError:
            raise typer.BadParameter(f"{value!r} is not a number.") from None
        if not math.isfinite(number):
            raise typer.BadParameter(f"{value!r} is not a finite number.")
        too_small = self.above is not None and number <= self.above
        if too_small or not self.min <= number <= self.max:
            raise typer.BadParameter(f"{value} is not in the range {self.range}.")
        return number

    @property
    def range(self) -> str:
        """The range in words, without the limits that every number has."""
        if self.above is not None:  # those options have no other limit
            return f"x>{self.above:g}"
        if self.max == LARGEST_FLOAT:
            return f"x>={self.min:g}" if self.min != -LARGEST_FLOAT else f"|x|<={LARGEST_FLOAT:g}"
        return f"{self.min:g}<=x<={self.max:g}"


def finite_pair(pair: tuple[float, float]) -> tuple[float, float]:
    """``pair`` if both numbers are finite and not negative; typer's ``callback`` of an option.

    Raises:
        typer.BadParameter: one is not.
    """
    check = FiniteFloat(min=0)
    return check(pair[0]), check(pair[1])
