"""``NAME=NUMBER`` arguments: an adapter and its scale, a corpus and its share."""

from __future__ import annotations

import math
from pathlib import Path


def parse_named_number(argument: str, default: float = 1.0) -> tuple[str, float]:
    """The name and the number of ``NAME[=NUMBER]``; ``default`` where there is no number.

    A name may contain ``=``: the number follows the last one, and an argument that is an existing
    file or folder is a name as a whole.

    Raises:
        ValueError: what follows the last ``=`` is not a finite number.
    """
    name, equals, text = argument.rpartition("=")
    if not equals or Path(argument).exists():
        return argument, default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a number")
    return name, number
