"""How many guessed tokens to compute with the next one, from what batches cost on this machine."""

from __future__ import annotations

_FIRST_COSTS = {1: 1.0, 2: 1.9, 3: 2.4, 5: 3.5, 8: 4.3}
"""Time of a batch of so many tokens over that of one, before it was measured; on 2 cores."""
MOST_TOKENS = max(_FIRST_COSTS)
"""Tokens of the largest batch: the next one, and the guesses after it."""
_LEAST_GAIN = 1.1
"""A batch must promise so many times the speed of single tokens."""
_LEARNING = 0.2


class DraftCosts:
    """Measured times of batches by their size."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}

    def measured(self, tokens: int, seconds: float) -> None:
        """Note that a batch of ``tokens`` took ``seconds``."""
        before = self._seconds.get(tokens, seconds)
        self._seconds[tokens] = before + _LEARNING * (seconds - before)

    def best_draft(self, rate: float, most: int) -> int:
        """How many of ``most`` guesses to compute with the next token, each right at ``rate``."""
        best, draft = _LEAST_GAIN, 0
        for size in _FIRST_COSTS:
            if 1 < size <= most + 1:
                expected = 1 + sum(rate**i for i in range(1, size))
                if (gain := expected / self._cost(size)) > best:
                    best, draft = gain, size - 1
        return draft

    def _cost(self, size: int) -> float:
        """Time of a batch over that of a single token."""
        if 1 in self._seconds and size in self._seconds:
            return self._seconds[size] / self._seconds[1]
        return _FIRST_COSTS[size]
