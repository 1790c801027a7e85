"""How long a token takes by number of threads, on a free machine and under the present load."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

UNEXPLAINED = 1.3
"""A rise by this factor without a known reason is learned slowly."""
OTHER_LOAD = 0.4
"""A load counts as another one if others use this many cores more or less."""
_SMOOTHING, _SLOW_SMOOTHING = 0.3, 0.1
_FIRST_PATIENCE_S, _LONGEST_PATIENCE_S = 4.0, 120.0
"""How long a time is valid while the load stays; doubled each time it is measured again."""
_FIRST_PATIENCE, LONGEST_PATIENCE = 50, 1000
"""The same in tokens, for slow ones."""
_FIRST_BLIND_PATIENCE_S, _LONGEST_BLIND_PATIENCE_S = 1.0, 16.0
"""The same where the use by other processes is not measured, so that only trying shows a change."""
_LEAST_EXPONENT = 0.5
"""Fewer threads are expected to be slower by at least this power of their number."""


@dataclass(frozen=True)
class _Time:
    """Seconds per token that were measured ``at`` a time under one ``load``.

    They count as valid for ``patience`` seconds.
    """

    seconds: float
    at: float
    load: float
    patience: float


@dataclass
class TokenTimes:
    """Two tables of seconds per token, by thread count."""

    free: dict[int, float] = field(default_factory=dict)
    """On a free machine, all for the present length of the context."""
    loaded: dict[int, _Time] = field(default_factory=dict)
    """Under the present load."""
    _last_learned: int = 0
    """The count of the last time on a free machine."""

    def learn_free(self, count: int, seconds: float) -> None:
        """Take in a time on a free machine.

        Times rise with the context for all counts alike, so a change of one scales all of them.
        """
        before = self.free.get(count)
        if before is None or self._last_learned != count:
            self.free[count] = seconds
            self._last_learned = count
            return
        weight = _SMOOTHING if seconds < UNEXPLAINED * before else _SLOW_SMOOTHING
        ratio = 1 + weight * (seconds / before - 1)
        self.free = {other: ratio * time for other, time in self.free.items()}
        self.loaded = {
            other: replace(time, seconds=ratio * time.seconds) if other != count else time
            for other, time in self.loaded.items()
        }

    def learn_loaded(
        self, count: int, seconds: float, now: float, load: float, *, blind: bool
    ) -> float:
        """Take in a time under ``load``; the smoothed time.

        ``blind``: what other processes use is not measured, so only trying shows a change.
        """
        patience = _FIRST_BLIND_PATIENCE_S if blind else _FIRST_PATIENCE_S
        patience = max(patience, _FIRST_PATIENCE * seconds)
        before = self.loaded.get(count)
        if before is not None:
            if _is_valid(before, now):
                patience = before.patience
                seconds = before.seconds + _SMOOTHING * (seconds - before.seconds)
            else:
                longest = _LONGEST_BLIND_PATIENCE_S if blind else _LONGEST_PATIENCE_S
                longest = max(longest, LONGEST_PATIENCE * seconds)
                patience = max(patience, min(2 * before.patience, longest))
        self.loaded[count] = _Time(seconds, now, load, patience)
        return seconds

    def forget_other_loads(self, load: float) -> bool:
        """Drop the times of another load than ``load``; whether there were any."""
        known = len(self.loaded)
        self.loaded = {
            count: time
            for count, time in self.loaded.items()
            if abs(time.load - load) < OTHER_LOAD * max(1.0, load)
        }
        return len(self.loaded) < known

    def estimate(self, count: int, now: float) -> float | None:
        """Seconds with ``count`` threads under the present load; None without any time."""
        time = self.loaded.get(count)
        if time is not None and _is_valid(time, now):
            return time.seconds
        return interpolated(self.free, count)

    def is_known(self, count: int, now: float) -> bool:
        """Whether the time with ``count`` threads under the present load was measured."""
        time = self.loaded.get(count)
        return time is not None and _is_valid(time, now)


def _is_valid(time: _Time, now: float) -> bool:
    return now - time.at <= time.patience


def interpolated(times: dict[int, float], count: int) -> float | None:
    """The time for ``count``, from powers of the count between and beyond those in ``times``."""
    if not times or count in times:
        return times.get(count)
    known = sorted(times)
    below = [number for number in known if number < count]
    above = [number for number in known if number > count]
    if below and above:
        low, high = below[-1], above[0]
        return times[low] * math.pow(count / low, -_exponent(times, low, high))
    if below:  # more threads than were ever tried: assume the gain of the last step
        exponent = _exponent(times, *known[-2:]) if len(known) > 1 else 1.0
        return times[known[-1]] * math.pow(count / known[-1], -min(max(exponent, 0.0), 1.0))
    exponent = _exponent(times, *known[:2]) if len(known) > 1 else 1.0
    return times[known[0]] * math.pow(count / known[0], -min(max(exponent, _LEAST_EXPONENT), 1.0))


def _exponent(times: dict[int, float], low: int, high: int) -> float:
    """The power of the count with which times fall from ``low`` to ``high``."""
    return math.log(times[low] / times[high]) / math.log(high / low)
