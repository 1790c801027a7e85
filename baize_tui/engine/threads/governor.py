"""How many threads compute the next token: chosen from the times of those before.

All threads wait for the slowest after every operation. A thread that loses its core to another
process therefore stops all of them, and one thread fewer can be ten times faster; on a free machine
it is slower. The governor keeps two tables of token times (``token_times``), one for a free machine
and one for the present load, and takes the count with the smallest time. Counts that were never
tried are estimated from those that were. Counts beyond the free cores are not tried: a token there
can take as long as a thousand others.

It has no clock and does no I/O: the same observations give the same decisions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from baize_tui.engine.threads.token_times import (
    LONGEST_PATIENCE,
    OTHER_LOAD,
    UNEXPLAINED,
    TokenTimes,
    interpolated,
)

_WINDOW_S, _WINDOW_TOKENS = 0.05, 2
"""A decision uses the mean over at least this many seconds and tokens."""
_SLOW_TOKEN_S = 0.3
"""A single token that takes this long is enough."""
_COLLAPSE = 2.5
"""So is a token that takes this many times as long as expected."""
_GAIN = 0.95
"""Another count is taken if its expected time is at most this fraction of the present one."""
_LOST_PART = 0.07
"""The machine counts as free while the threads lose at most this fraction of their cores."""
_CLEARLY_LOST = 0.2
_ROUNDING = 0.3
"""A neighbour that takes less of a core than this leaves it usable."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 8.0
_SHORT_STAY_S = 10.0
"""If a switch is reversed this soon under the same load, the next switch has to wait, twice as long
each time."""
_URGENT = 2.0
"""It need not wait if tokens take this many times as long as with the other count."""
_EXPLORING_FREE, _EXPLORING_LOADED = 0.01, 0.02
"""Fraction of the time that may be spent on trying other counts, on a free and a loaded machine."""
_TRIAL_TOKENS = 4
"""A trial is expected to take this many tokens."""
_FIRST_PAUSE, _PAUSE_GROWTH = 3, 1.25
"""Tokens between two trials, and the factor by which the pause grows while the load stays."""
_GIVE_UP = 1.5
"""A trial ends at once if a token takes this many times as long as before."""


@dataclass(frozen=True)
class Observation:
    """The computation of one token, or of one batch of a constant size."""

    seconds: float
    cpu_seconds: float | None = None
    """Processor time of all threads of this process in those seconds."""
    others: float | None = None
    """Cores that other processes use, if that was measured just now."""


@dataclass
class _Window:
    """Observations since the last decision."""

    tokens: int = 0
    seconds: float = 0.0
    cpu_seconds: float | None = 0.0

    def add(self, seen: Observation) -> None:
        self.tokens += 1
        self.seconds += seen.seconds
        if seen.cpu_seconds is None or self.cpu_seconds is None:
            self.cpu_seconds = None
        else:
            self.cpu_seconds += seen.cpu_seconds


@dataclass
class Governor:
    """Chooses ``threads``, from 1 to ``most``, for one kind of work.

    ``cores`` are the physical cores shared with other processes; more than ``most`` where a quota
    limits this one. ``cpus`` are their logical processors.
    """

    cores: int
    most: int
    cpus: int = 0
    threads: int = 0
    """The count for the next computation; initially, 0 stands for ``most``."""
    switches: int = 0
    """How often the count has changed."""
    _start: int = 0
    """The first count."""
    _now: float = 0.0
    """The time in seconds, summed up from the pauses and the observations."""
    _others: float | None = None
    """Cores that others want, judging by what they use; None where that is not measured."""
    _samples_due: int = 0
    """Measurements of others to skip, because they include time with another count."""
    _load: float = 0.0
    """Cores that others want, estimated from what they use and what this process loses."""
    _times: TokenTimes = field(default_factory=TokenTimes)
    _best_share: dict[int, float] = field(default_factory=dict)
    """The largest share of a core that each thread used, by count; threads that sleep use less."""
    _window: _Window = field(default_factory=_Window)
    _is_first: bool = True
    _doubted: bool = False
    """Whether the last window favoured a lower count."""
    _credit: float = 0.0
    """Seconds that may be spent on trying other counts."""
    _seconds_before_trial: float | None = None
    """During a trial of another count: seconds per token with the previous count."""
    _trial_pause: float = _FIRST_PAUSE
    """Fewest tokens between two trials; ``_since_trial`` have been computed since the last."""
    _since_trial: int = 0
    _before: int = 0
    """The count before the last switch, at the time ``_switched_at`` under ``_switched_load``."""
    _switched_at: float = -math.inf
    _switched_load: float = 0.0
    _wait: float = 0.0
    """Seconds that must pass between two switches under the same load."""
    _step: int = 1
    """How far the next step up goes; doubled with each step up."""

    def __post_init__(self) -> None:
        self.most = max(1, self.most)
        self.cores = max(self.cores, self.most)
        self.cpus = max(self.cpus, self.cores)
        self.threads = self._start = min(self.threads or self.most, self.most)

    @property
    def neighbours(self) -> float:
        """Cores that others want, as last estimated."""
        return self._load

    # --- observations ---------------------------------------------------------------------------

    def begin(self, pause_seconds: float, others: float | None) -> None:
        """A request starts after ``pause_seconds`` in which other processes used ``others``."""
        self._now += pause_seconds
        self._window, self._is_first, self._doubted = _Window(), True, False
        self._seconds_before_trial = None
        if others is None:
            return
        self._others = self._load = others
        self._forget_other_loads()
        best = self._best_count(None)
        if best != self.threads:
            self._switch_to(best)
        self._samples_due = 0  # nothing was computed with another count

    def record(self, seen: Observation) -> None:
        """Take in one computation with ``threads``; may change the count."""
        self._now += seen.seconds
        if self._seconds_before_trial is not None:
            self._credit -= seen.seconds - self._seconds_before_trial
        if seen.others is not None:
            self._note_others(seen.others)
        if self._is_first:
            # The first computation with another count wakes threads and fills caches.
            self._is_first = False
            if seen.seconds < _SLOW_TOKEN_S:
                return
        self._window.add(seen)
        if self._is_complete():
            window, self._window = self._window, _Window()
            self._decide(window)

    def _note_others(self, others: float) -> None:
        self._samples_due = max(0, self._samples_due - 1)
        if self._samples_due:
            return  # it includes time with another count
        wanted = self._wanted_beside(others, self.threads)
        before = self._others
        if before is not None and abs(wanted - before) < OTHER_LOAD:
            wanted = (before + wanted) / 2
        self._others = wanted

    def _is_complete(self) -> bool:
        window = self._window
        if window.seconds >= _SLOW_TOKEN_S:
            return True
        before = self._seconds_before_trial
        if before is not None and window.seconds > _GIVE_UP * before:
            return True
        expected = self._times.estimate(self.threads, self._now)
        if expected is not None and window.seconds > _COLLAPSE * expected * window.tokens:
            return True
        return window.tokens >= _WINDOW_TOKENS and window.seconds >= _WINDOW_S

    # --- conclusions ----------------------------------------------------------------------------

    def _decide(self, window: _Window) -> None:
        count, seconds = self.threads, window.seconds / window.tokens
        lost = self._lost_cores(window)
        self._load = max(self._others or 0.0, self._wanted_by_loss(lost))
        self._forget_other_loads()
        is_free = lost <= _LOST_PART * count and count <= self._usable_cores()
        # If others are not measured, a sudden rise is attributed to them.
        is_surprise = self._others is None and seconds > UNEXPLAINED * self._times.free.get(
            count, seconds
        )
        is_free = is_free and not is_surprise
        if is_free:
            self._times.learn_free(count, seconds)
        self._credit += (_EXPLORING_FREE if is_free else _EXPLORING_LOADED) * window.seconds
        if not is_free and not self._times.loaded:
            # Under another load, the times of a free machine may be of little use.
            self._credit = max(self._credit, _TRIAL_TOKENS * seconds)
        self._since_trial += window.tokens
        tried, self._seconds_before_trial = self._seconds_before_trial is not None, None
        smooth = self._times.learn_loaded(
            count, seconds, self._now, self._load, blind=self._others is None
        )
        best = self._best_count(smooth)
        if best < count and not self._doubted and not tried:
            # One bad window can be chance, unless it was long and the cores were clearly lost.
            self._doubted = True
            if not (window.seconds >= _SLOW_TOKEN_S and lost >= _CLEARLY_LOST):
                return
        self._doubted = False
        if not tried and self._must_wait(best, smooth):
            return
        if best != count:
            self._switch_to(best, after_trial=tried)
            return
        if is_surprise:
            # No other count is better: the work itself has changed.
            self._times.learn_free(count, seconds)
        self._explore(smooth)

    def _lost_cores(self, window: _Window) -> float:
        """How many cores the threads lost while they waited for their turn."""
        if window.cpu_seconds is None:
            return 0.0
        share = min(1.0, window.cpu_seconds / window.seconds / self.threads)
        known = self._best_share
        # Where others are not measured, a new count is expected to do as well as the earlier ones.
        expected = min(known.values(), default=0.0) if self._others is None else 0.0
        best = max(share, known.get(self.threads, expected))
        self._best_share[self.threads] = best
        return (best - share) * self.threads

    def _wanted_beside(self, others: float, count: int) -> float:
        """Cores that others would use if this process used none.

        When all C processors are busy, everyone gets an equal share: D others beside n threads use
        D C / (n + D).
        """
        if others + count <= self.cpus - _ROUNDING:
            return others
        wanted = others * count / max(self.cpus - others, 0.1)
        return min(max(others, wanted), float(self.cores))

    def _wanted_by_loss(self, lost: float) -> float:
        """The same, from what the threads lost: D others take n D / (n + D) of n threads' time."""
        if lost < _CLEARLY_LOST or self.most < self.cores:  # the quota may have taken it
            return 0.0
        return min(lost * self.threads / max(self.threads - lost, 0.1), float(self.cores))

    def _usable_cores(self) -> int:
        """Cores that others leave, at least 1."""
        return max(1, math.floor(self.cores - self._load + _ROUNDING))

    def _free_cpus(self) -> int:
        """Logical processors that others leave.

        With more threads, two would take turns on one processor, and a token can take seconds.
        """
        return math.floor(self.cpus - self._load + _ROUNDING)

    def _forget_other_loads(self) -> None:
        # What a lower count loses says nothing about the load that a higher one would meet.
        if self._others is not None and self._times.forget_other_loads(self._load):
            self._trial_pause = _FIRST_PAUSE

    # --- choices --------------------------------------------------------------------------------

    def _best_count(self, seconds: float | None) -> int:
        """The count with the smallest time; ``seconds`` is that of the present count, if known."""
        if not self._times.free and (seconds is None or self.threads > self._usable_cores()):
            return min(self._start, self._usable_cores())
        # Between two known counts an estimate is never the minimum, so the ends are enough.
        ends = {self.threads - 1, self.threads + self._step, self._usable_cores()}
        times: dict[int, float] = {}
        for count in {self.threads, *self._times.free, *self._times.loaded, *ends}:
            if not 0 < count <= self.most:
                continue
            if count == self.threads and seconds is not None:
                times[count] = seconds
            elif (
                self._may_try(count)
                and (time := self._times.estimate(count, self._now)) is not None
            ):
                times[count] = time
        best = min(sorted(times), key=lambda count: times[count], default=self.threads)
        if seconds is not None and times[best] > _GAIN * seconds:
            return self.threads
        return best

    def _may_try(self, count: int) -> bool:
        if self._times.is_known(count, self._now):
            return True
        if self._others is None:
            return count <= self.threads + self._step
        return count <= self._usable_cores()

    def _must_wait(self, count: int, seconds: float) -> bool:
        if count > self.threads and self._others is not None and self._samples_due:
            return True
        if self._now - self._switched_at >= self._wait or self._has_other_load():
            return False
        return _URGENT * (self._times.estimate(count, self._now) or seconds) > seconds

    def _has_other_load(self) -> bool:
        """Whether the load has changed since the last switch."""
        changed = abs(self._load - self._switched_load)
        return self._others is not None and changed >= OTHER_LOAD * max(1.0, self._load)

    def _switch_to(self, count: int, *, after_trial: bool = False) -> None:
        self._step = min(2 * self._step, self.most - count) if count > self.threads else 1
        if not after_trial:
            stayed = self._now - self._switched_at
            if stayed >= max(_SHORT_STAY_S, 2 * self._wait) or self._has_other_load():
                self._wait = 0.0
            elif count == self._before:
                self._wait = min(max(2 * self._wait, _FIRST_WAIT_S), _LONGEST_WAIT_S)
            self._before = self.threads
            self._switched_at, self._switched_load = self._now, self._load
        self.threads = count
        self.switches += 1
        self._samples_due = 2
        self._window, self._is_first, self._doubted = _Window(), True, False

    def _explore(self, seconds: float) -> None:
        """Try another count once the time that the trial may cost has been saved up."""
        if self._since_trial < self._trial_pause:
            return
        now = self.threads
        lower = min(now - 1, round(0.75 * now))
        upper = min(self.most, max(now + 1, round(now / 0.75)))
        for count in (lower, upper, self._usable_cores(), now - 1, now + 1):
            if not 0 < count <= self.most or count == now or self._times.is_known(count, self._now):
                continue
            if self._others is not None and count > max(now, self._free_cpus()):
                continue
            expected = interpolated(self._times.free, count) or seconds
            if self._credit >= max(seconds, _TRIAL_TOKENS * (expected - seconds)):
                self._switch_to(count, after_trial=True)
                self._seconds_before_trial = seconds
                self._since_trial = 0
                self._trial_pause = min(_PAUSE_GROWTH * self._trial_pause, LONGEST_PATIENCE)
                return
