"""How many guessed tokens to compute with the next one, from what batches cost on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_FIRST_COSTS = {1: 1.0, 2: 1.9, 3: 2.4, 5: 3.5, 8: 4.3}
"""Time of a batch of so many tokens over that of one, before it was measured; on 2 cores."""
MOST_TOKENS = max(_FIRST_COSTS)
"""Tokens of the largest batch: the next one, and the guesses after it."""
LEAST_GAIN = 1.1
"""A batch must promise so many times the speed of single tokens."""
_LEARNING = 0.2
_REMEASURED_AFTER = 64
"""Batches after which a single token is measured again: other programs come and go."""


class Draft(NamedTuple):
    """How many guesses to compute with the next token."""

    length: int
    gain: float
    """The speed that it promises, over that of single tokens."""


_NO_DRAFT = Draft(0, 1.0)


class DraftCosts:
    """Measured times of batches by their size."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._batches = 0
        """Since a single token was measured."""

    @property
    def single_s(self) -> float | None:
        """Seconds of a single token; None before the first."""
        return self._seconds.get(1)

    @property
    def needs_single(self) -> bool:
        """Whether the next token should be computed alone, to know what that takes."""
        return 1 not in self._seconds or self._batches >= _REMEASURED_AFTER

    @property
    def unmeasured(self) -> int | None:
        """A size of a batch that was not measured yet, the smallest first; None for none."""
        return next((size for size in _FIRST_COSTS if size not in self._seconds), None)

    @property
    def per_guess(self) -> float:
        """What one more guess in a batch costs, over a single token."""
        return (self._cost(MOST_TOKENS) - 1) / (MOST_TOKENS - 1)

    def measured(self, tokens: int, seconds: float) -> None:
        """Note that a batch of ``tokens`` took ``seconds``."""
        before = self._seconds.get(tokens, seconds)
        self._seconds[tokens] = before + _LEARNING * (seconds - before)
        self._batches = 0 if tokens == 1 else self._batches + 1

    def best_draft(self, rates: Sequence[float]) -> Draft:
        """How many guesses to compute with the next token.

        Guess ``i`` is right with the probability ``rates[i]`` if those before it are.
        """
        best, expected, right = _NO_DRAFT, 1.0, 1.0
        for size, rate in enumerate(rates, start=2):
            right *= rate
            expected += right
            if size in _FIRST_COSTS:
                gain = expected / self._cost(size)
                if gain > max(best.gain, LEAST_GAIN):
                    best = Draft(size - 1, gain)
        return best

    def _cost(self, size: int) -> float:
        """Time of a batch over that of a single token."""
        if 1 in self._seconds and size in self._seconds:
            return self._seconds[size] / self._seconds[1]
        return _FIRST_COSTS[size]
