"""How far work is, and how long it still takes."""

from __future__ import annotations

from time import monotonic

BAR_CELLS = 12
_SPEED_AFTER_S = 0.7


def bar(done: float) -> str:
    """A progress bar of ``BAR_CELLS`` cells; ``done`` is 0.0 to 1.0."""
    full = round(max(0.0, min(1.0, done)) * BAR_CELLS)
    return "━" * full + "╌" * (BAR_CELLS - full)


def progress_text(what: str, done: float, *, count: str = "", left: str = "") -> str:
    """``loading smollm2 ━━━━━╌╌╌╌╌╌╌ 42% · 12 s left``; a ``count`` replaces the percentage."""
    shown = f"{what} {bar(done)} {count or f'{done:.0%}'}"
    return f"{shown} · {left}" if left else shown


def duration_text(seconds: float) -> str:
    """A duration for a person: 12 s, 3 min."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


class TimeLeft:
    """How long work still takes, from how fast it has gone so far."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None

    def after(self, done: float) -> str:
        """Words such as ``12 s left`` for work that is ``done`` (0.0 to 1.0); empty at first."""
        seconds = self.seconds_after(done)
        return "" if seconds is None else f"{duration_text(seconds)} left"

    def seconds_after(self, done: float) -> float | None:
        """The seconds that work which is ``done`` (0.0 to 1.0) still takes; None at first."""
        now = monotonic()
        if self._began is None or done < self._began[1]:
            self._began = (now, done)
            return None
        began, before = self._began
        if now - began < _SPEED_AFTER_S or done <= before:
            return None
        return (now - began) / (done - before) * (1 - done)
