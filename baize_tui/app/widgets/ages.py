"""How long ago something was, in at most four cells."""

from __future__ import annotations

from baize_tui.translation import msg, tr

_MINUTE, _HOUR, _DAY, _WEEK, _YEAR = 60, 3600, 86_400, 604_800, 31_557_600


def age_text(seconds: float) -> str:
    """An age in its largest unit, rounded down: ``now``, ``5m``, ``3h``, ``6d``, ``51w``, ``2y``.

    ``seconds`` below a minute are ``now``, and so are those in the future, if a clock went back.
    """
    for unit, most, age in (
        (_MINUTE, _HOUR, msg("{number}m")),
        (_HOUR, _DAY, msg("{number}h")),
        (_DAY, _WEEK, msg("{number}d")),
        (_WEEK, _YEAR, msg("{number}w")),
    ):
        if seconds < unit:
            return tr("now")
        if seconds < most:
            return tr(age, number=int(seconds // unit))
    return tr("{number}y", number=int(seconds // _YEAR))
