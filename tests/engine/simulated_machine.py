"""A machine for the governor: cores, hyper-threads, neighbours, a quota, and noise."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from baize_tui.engine.threads.governor import Governor, Observation

SAMPLING_S = 0.15
"""How often the use of processors by others is measured, as the engine does."""


@dataclass
class Machine:
    """Tokens take what ``seconds_with`` says, times noise."""

    cores: int
    hyperthreads: bool = False
    neighbours: float = 0.0
    """Threads of other processes that want a core all the time."""
    quota: float | None = None
    token_s: float = 0.05
    """Of one thread on a free machine."""
    serial: float = 0.02
    """Part of a token that one thread does alone."""
    bandwidth: float = 64.0
    """Threads beyond which memory is the limit."""
    overhead: float = 0.0005
    """Part of ``token_s`` that each thread costs in waiting for the others."""
    penalty: float = 2.0
    """How much the threads' waiting for one without a core costs, beyond the time it waits."""
    noise: float = 0.0
    tells_cpu: bool = True
    tells_others: bool = True
    random: random.Random = field(default_factory=lambda: random.Random(0))
    _sampled: float = 0.0
    _used: float = 0.0

    def _share(self, count: int) -> float:
        """Part of the time for which each of all runnable threads has a core."""
        logical = 2 * self.cores if self.hyperthreads else self.cores
        return min(1.0, logical / (count + self.neighbours))

    def seconds_with(self, count: int) -> float:
        parallel = (1 - self.serial) / min(count, self.bandwidth)
        seconds = self.token_s * (self.serial + parallel + self.overhead * count)
        if count + self.neighbours > self.cores and self.neighbours and self.hyperthreads:
            seconds *= 1.7  # one shares its core, and all wait for it
        share = self._share(count)
        if share < 1 and count > 1:
            seconds *= 1 + (self.penalty - 1) * (1 - share ** (count - 1))
        seconds /= share
        if self.quota is not None:
            seconds *= max(1.0, count * share / self.quota)
        return seconds

    def best_seconds(self, most: int) -> float:
        return min(self.seconds_with(count) for count in range(1, most + 1))

    def run(self, governor: Governor, seconds: float) -> Run:
        """Compute tokens for ``seconds``."""
        done = Run()
        while done.seconds < seconds:
            count = governor.threads
            taken = self.seconds_with(count) * max(0.3, self.random.gauss(1, self.noise))
            share = self._share(count)
            if self.quota is not None:
                share = min(share, self.quota / count)
            others: float | None = None
            self._sampled += taken
            self._used += taken * self.neighbours * self._share(count)
            if self.tells_others and self._sampled >= SAMPLING_S:
                others = max(0.0, self._used / self._sampled + self.random.gauss(0, 0.05))
                self._sampled = self._used = 0.0
            cpu = taken * count * share if self.tells_cpu else None
            governor.record(Observation(taken, cpu, others))
            done.seconds += taken
            done.tokens += 1
            done.counts.append(count)
            done.times.append(done.seconds)
        return done


@dataclass
class Run:
    seconds: float = 0.0
    tokens: int = 0
    counts: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def seconds_each(self) -> float:
        return self.seconds / self.tokens
