"""How long ago something was, in at most four cells."""

from __future__ import annotations

_MINUTE, _HOUR, _DAY, _WEEK, _YEAR = 60, 3600, 86_400, 604_800, 31_557_600


def age_text(seconds: float) -> str:
    """An age in its largest unit, rounded down: ``now``, ``5m``, ``3h``, ``6d``, ``51w``, ``2y``.

    ``seconds`` below a minute are ``now``, and so are those in the future, if a clock went back.
    """
    for unit, most, letter in (
        (_MINUTE, _HOUR, "m"),
        (_HOUR, _DAY, "h"),
        (_DAY, _WEEK, "d"),
        (_WEEK, _YEAR, "w"),
    ):
        if seconds < unit:
            return "now"
        if seconds < most:
            return f"{int(seconds // unit)}{letter}"
    return f"{int(seconds // _YEAR)}y"
