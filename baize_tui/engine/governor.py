"""How many threads compute the next token: chosen from the times of those before.

All threads wait for the slowest after every operation. A thread that loses its core to another
process therefore stops all of them, and one thread fewer can be ten times faster; on a free machine
it is slower. The governor keeps two tables of token times, those on a free machine and those under
the present load, and takes the count with the smallest time. Counts never tried are estimated from
those that were. Counts beyond the free cores are not tried: a token there can take the time of a
thousand.

It has no clock and does no I/O: the same observations give the same answers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

_WINDOW_S, _WINDOW_TOKENS = 0.05, 2
"""A decision looks at the mean over at least so many seconds and tokens."""
_SLOW_TOKEN_S = 0.3
"""One token that takes so long is enough."""
_COLLAPSE = 2.5
"""So is one that takes so many times as long as expected."""
_GAIN = 0.95
"""Another count is taken where it promises at most this part of the present time."""
_UNEXPLAINED = 1.3
"""A rise of the time by this factor without neighbours is believed slowly."""
_LOST_PART = 0.07
"""The machine counts as free while the threads get all but this part of their cores."""
_CLEARLY_LOST = 0.2
_ROUNDING = 0.3
"""A neighbour that takes less of a core than this leaves it usable."""
_OTHER_LOAD = 0.4
"""Times count for another load when others use this many cores more or less."""
_SMOOTHING, _SLOW_SMOOTHING = 0.3, 0.1
_FIRST_PATIENCE_S, _LONGEST_PATIENCE_S = 4.0, 120.0
"""How long a time is believed while the load stays: doubled whenever it is measured again."""
_FIRST_PATIENCE, _LONGEST_PATIENCE = 50, 1000
"""The same in tokens, where these are slow."""
_FIRST_BLIND_PATIENCE_S, _LONGEST_BLIND_PATIENCE_S = 1.0, 16.0
"""The same where nobody tells what other processes use, so that only trying shows it."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 8.0
_SHORT_STAY_S = 10.0
"""A switch that is taken back this soon, under the same load, makes the next one wait, twice as
long each time."""
_URGENT = 2.0
"""Unless tokens take so many times as long as they would with the other count."""
_EXPLORING_FREE, _EXPLORING_LOADED = 0.01, 0.02
"""Part of the time that may be lost to trying other counts, on a free machine and a loaded one."""
_PROBE_TOKENS = 4
_FIRST_PAUSE, _PAUSE_GROWTH = 3, 1.25
"""Tokens between two trials, and how much more it is after each while the load stays."""
_GIVE_UP = 1.5
"""A trial ends at once where a token takes so many times as long as before."""
_LEAST_EXPONENT = 0.5
"""Fewer threads are expected to be slower by at least this power of their number."""


@dataclass(frozen=True)
class Observation:
    """One token, or one batch of always the same size."""

    seconds: float
    cpu_seconds: float | None = None
    """Processor time of all threads of this process meanwhile."""
    others: float | None = None
    """Cores that other processes use, where it has just been measured."""


@dataclass(frozen=True)
class _Time:
    """A time measured under one load."""

    seconds: float
    at: float
    load: float
    patience: float


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
    """The count for what comes next; to begin with 0 stands for ``most``."""
    switches: int = 0
    _start: int = 0
    _now: float = 0.0
    _others: float | None = None
    """Cores that others want by what they use; None where nobody tells."""
    _samples_due: int = 0
    """Samples of the use by others to come before one is of the present count alone."""
    _load: float = 0.0
    """Cores that others want, as far as one can tell from what they use and take from us."""
    _free: dict[int, float] = field(default_factory=dict)
    """Seconds by count on a free machine, all for the length of context there is now."""
    _loaded: dict[int, _Time] = field(default_factory=dict)
    """The same under the present load."""
    _best_share: dict[int, float] = field(default_factory=dict)
    """The most of a core that each thread used: less than 1 where threads sleep in between."""
    _learnt: int = 0
    """The count that the free machine was last seen with."""
    _window: _Window = field(default_factory=_Window)
    _is_first: bool = True
    _doubts: int = 0
    """Windows in a row that spoke for a lower count."""
    _credit: float = 0.0
    """Seconds that may be lost to trying other counts."""
    _tried_from: float | None = None
    """While another count is tried: seconds with the count before."""
    _trial_pause: float = _FIRST_PAUSE
    """Tokens to the next trial at least, of which ``_since_trial`` have been computed."""
    _since_trial: int = 0
    _before: int = 0
    """The count before the last switch, which was ``_switched_at`` and under ``_switched_load``."""
    _switched_at: float = -math.inf
    _switched_load: float = 0.0
    _wait: float = 0.0
    _step: int = 1

    def __post_init__(self) -> None:
        self.most = max(1, self.most)
        self.cores = max(self.cores, self.most)
        self.cpus = max(self.cpus, self.cores)
        self.threads = self._start = min(self.threads or self.most, self.most)

    @property
    def neighbours(self) -> float:
        """Cores that others want, when last looked."""
        return self._load

    # --- what it is told ------------------------------------------------------------------------

    def begin(self, pause_seconds: float, others: float | None) -> None:
        """A request starts after ``pause_seconds`` in which other processes used ``others``."""
        self._now += pause_seconds
        self._window, self._is_first, self._doubts = _Window(), True, 0
        self._tried_from = None
        if others is None:
            return
        self._others = self._load = others
        self._samples_due = 0
        self._forget_other_loads()
        best = self._best_count(None)
        if best != self.threads:
            self._take(best)

    def record(self, seen: Observation) -> None:
        """A token or batch has been computed with ``threads``."""
        self._now += seen.seconds
        if self._tried_from is not None:
            self._credit -= seen.seconds - self._tried_from
        if seen.others is not None:
            self._hear_of(seen.others)
        if self._is_first:
            # The first with another count wakes threads and fills caches.
            self._is_first = False
            if seen.seconds < _SLOW_TOKEN_S:
                return
        self._window.add(seen)
        if self._is_complete():
            window, self._window = self._window, _Window()
            self._decide(window)

    def _hear_of(self, others: float) -> None:
        self._samples_due = max(0, self._samples_due - 1)
        if self._samples_due:
            return  # partly of the time with another count
        wanted = self._wanted_beside(others, self.threads)
        before = self._others
        if before is not None and abs(wanted - before) < _OTHER_LOAD:
            wanted = (before + wanted) / 2
        self._others = wanted

    def _is_complete(self) -> bool:
        window = self._window
        if window.seconds >= _SLOW_TOKEN_S:
            return True
        if self._tried_from is not None and window.seconds > _GIVE_UP * self._tried_from:
            return True
        expected = self._estimate(self.threads)
        if expected is not None and window.seconds > _COLLAPSE * expected * window.tokens:
            return True
        return window.tokens >= _WINDOW_TOKENS and window.seconds >= _WINDOW_S

    # --- what it makes of it --------------------------------------------------------------------

    def _decide(self, window: _Window) -> None:
        count, seconds = self.threads, window.seconds / window.tokens
        lost = self._lost_cores(window)
        self._load = max(self._others or 0.0, self._wanted_by_loss(lost))
        self._forget_other_loads()
        is_free = lost <= _LOST_PART * count and count <= self._usable_cores()
        # Where nobody tells of others, a jump of the time is taken for them.
        is_surprise = self._others is None and seconds > _UNEXPLAINED * self._free.get(
            count, seconds
        )
        is_free = is_free and not is_surprise
        if is_free:
            self._learn_free(seconds)
        self._credit += (_EXPLORING_FREE if is_free else _EXPLORING_LOADED) * window.seconds
        if not is_free and not self._loaded:
            # Another load: what is known of a free machine may be of little use.
            self._credit = max(self._credit, _PROBE_TOKENS * seconds)
        self._since_trial += window.tokens
        tried, self._tried_from = self._tried_from is not None, None
        smooth = self._learn_loaded(seconds)
        best = self._best_count(smooth)
        if best < count and not self._doubts and not tried:
            # One bad window can be chance, unless it was long and the cores were not ours.
            self._doubts = 1
            if not (window.seconds >= _SLOW_TOKEN_S and lost >= _CLEARLY_LOST):
                return
        self._doubts = 0
        if not tried and self._must_wait(best, smooth):
            return
        if best != count:
            self._take(best, of_trial=tried)
            return
        if is_surprise:
            self._learn_free(seconds)  # no other count is better: it is the work that has changed
        self._explore(smooth)

    def _lost_cores(self, window: _Window) -> float:
        """How many cores' time the threads waited for a core."""
        if window.cpu_seconds is None:
            return 0.0
        share = min(1.0, window.cpu_seconds / window.seconds / self.threads)
        known = self._best_share
        # Where nobody tells of others, as much is expected of a new count as of those before.
        expected = min(known.values(), default=0.0) if self._others is None else 0.0
        best = max(share, known.get(self.threads, expected))
        self._best_share[self.threads] = best
        return (best - share) * self.threads

    def _wanted_beside(self, others: float, count: int) -> float:
        """Cores that others would use if this process used none.

        Where all processors are busy everyone gets the same part of them: D others beside n threads
        on C processors use D C / (n + D).
        """
        if others + count <= self.cpus - _ROUNDING:
            return others
        wanted = others * count / max(self.cpus - others, 0.1)
        return min(max(others, wanted), float(self.cores))

    def _wanted_by_loss(self, lost: float) -> float:
        """The same from what the threads lost: of n threads' time D others take n D / (n + D)."""
        if lost < _CLEARLY_LOST or self.most < self.cores:  # it may be the quota that took it
            return 0.0
        return min(lost * self.threads / max(self.threads - lost, 0.1), float(self.cores))

    def _usable_cores(self) -> int:
        """Cores that others leave, at least 1."""
        return max(1, math.floor(self.cores - self._load + _ROUNDING))

    def _free_cpus(self) -> int:
        """Logical processors that others leave: beyond them threads would wait for each other's
        turn on the same one, where a single token can take seconds."""
        return math.floor(self.cpus - self._load + _ROUNDING)

    def _forget_other_loads(self) -> None:
        if self._others is None:
            return  # what a lower count loses says nothing of the load that a higher one would meet
        known = len(self._loaded)
        self._loaded = {
            count: time
            for count, time in self._loaded.items()
            if abs(time.load - self._load) < _OTHER_LOAD * max(1.0, self._load)
        }
        if len(self._loaded) < known:
            self._trial_pause = _FIRST_PAUSE

    def _learn_free(self, seconds: float) -> None:
        """Times rise with the context, for all counts alike: what one shows moves them all."""
        before = self._free.get(self.threads)
        if before is None or self._learnt != self.threads:
            self._free[self.threads] = seconds
            self._learnt = self.threads
            return
        weight = _SMOOTHING if seconds < _UNEXPLAINED * before else _SLOW_SMOOTHING
        ratio = 1 + weight * (seconds / before - 1)
        self._free = {count: ratio * time for count, time in self._free.items()}
        self._loaded = {
            count: replace(time, seconds=ratio * time.seconds) if count != self.threads else time
            for count, time in self._loaded.items()
        }

    def _learn_loaded(self, seconds: float) -> float:
        """Take ``seconds`` into the table of the present load; the smoothed time."""
        blind = self._others is None
        patience = _FIRST_BLIND_PATIENCE_S if blind else _FIRST_PATIENCE_S
        patience = max(patience, _FIRST_PATIENCE * seconds)
        before = self._loaded.get(self.threads)
        if before is not None:
            if self._is_believed(before):
                patience = before.patience
                seconds = before.seconds + _SMOOTHING * (seconds - before.seconds)
            else:
                longest = _LONGEST_BLIND_PATIENCE_S if blind else _LONGEST_PATIENCE_S
                longest = max(longest, _LONGEST_PATIENCE * seconds)
                patience = max(patience, min(2 * before.patience, longest))
        self._loaded[self.threads] = _Time(seconds, self._now, self._load, patience)
        return seconds

    def _is_believed(self, time: _Time) -> bool:
        return self._now - time.at <= time.patience

    # --- what it chooses ------------------------------------------------------------------------

    def _best_count(self, seconds: float | None) -> int:
        """The count with the smallest time; the present one takes ``seconds``, where known."""
        if not self._free and (seconds is None or self.threads > self._usable_cores()):
            return min(self._start, self._usable_cores())
        # Between counts that are known an estimate is never the best: the ends will do.
        ends = {self.threads - 1, self.threads + self._step, self._usable_cores()}
        times: dict[int, float] = {}
        for count in {self.threads, *self._free, *self._loaded, *ends}:
            if not 0 < count <= self.most:
                continue
            if count == self.threads and seconds is not None:
                times[count] = seconds
            elif self._may_try(count) and (time := self._estimate(count)) is not None:
                times[count] = time
        best = min(sorted(times), key=lambda count: times[count], default=self.threads)
        if seconds is not None and times[best] > _GAIN * seconds:
            return self.threads
        return best

    def _may_try(self, count: int) -> bool:
        if self._is_known(count):
            return True
        if self._others is None:
            return count <= self.threads + self._step
        return count <= self._usable_cores()

    def _estimate(self, count: int) -> float | None:
        """Seconds with ``count`` threads under the present load, as far as one can tell."""
        time = self._loaded.get(count)
        if time is not None and self._is_believed(time):
            return time.seconds
        return _interpolated(self._free, count)

    def _must_wait(self, count: int, seconds: float) -> bool:
        if count > self.threads and self._others is not None and self._samples_due:
            return True
        if self._now - self._switched_at >= self._wait or self._has_other_load():
            return False
        return _URGENT * (self._estimate(count) or seconds) > seconds

    def _has_other_load(self) -> bool:
        """Whether others want more or less than at the last switch."""
        changed = abs(self._load - self._switched_load)
        return self._others is not None and changed >= _OTHER_LOAD * max(1.0, self._load)

    def _take(self, count: int, *, of_trial: bool = False) -> None:
        self._step = min(2 * self._step, self.most - count) if count > self.threads else 1
        if not of_trial:
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
        self._window, self._is_first, self._doubts = _Window(), True, 0

    def _explore(self, seconds: float) -> None:
        """Try another count where the time that it may lose has been saved up."""
        if self._since_trial < self._trial_pause:
            return
        now = self.threads
        lower = min(now - 1, round(0.75 * now))
        upper = min(self.most, max(now + 1, round(now / 0.75)))
        for count in (lower, upper, self._usable_cores(), now - 1, now + 1):
            if not 0 < count <= self.most or count == now or self._is_known(count):
                continue
            if self._others is not None and count > max(now, self._free_cpus()):
                continue
            expected = _interpolated(self._free, count) or seconds
            if self._credit >= max(seconds, _PROBE_TOKENS * (expected - seconds)):
                self._take(count, of_trial=True)
                self._tried_from = seconds
                self._since_trial = 0
                self._trial_pause = min(_PAUSE_GROWTH * self._trial_pause, _LONGEST_PATIENCE)
                return

    def _is_known(self, count: int) -> bool:
        time = self._loaded.get(count)
        return time is not None and self._is_believed(time)


def _interpolated(times: dict[int, float], count: int) -> float | None:
    """The time for ``count`` by powers of the count between those in ``times``, and beyond them."""
    if not times or count in times:
        return times.get(count)
    known = sorted(times)
    below = [number for number in known if number < count]
    above = [number for number in known if number > count]
    if below and above:
        low, high = below[-1], above[0]
        return times[low] * math.pow(count / low, -_exponent(times, low, high))
    if below:  # more threads than were ever tried: as much faster as the last step was
        exponent = _exponent(times, *known[-2:]) if len(known) > 1 else 1.0
        return times[known[-1]] * math.pow(count / known[-1], -min(max(exponent, 0.0), 1.0))
    exponent = _exponent(times, *known[:2]) if len(known) > 1 else 1.0
    return times[known[0]] * math.pow(count / known[0], -min(max(exponent, _LEAST_EXPONENT), 1.0))


def _exponent(times: dict[int, float], low: int, high: int) -> float:
    """Times between ``low`` and ``high`` fall with this power of the count."""
    return math.log(times[low] / times[high]) / math.log(high / low)
