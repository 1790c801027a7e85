"""Whether the guesses of a draft model pay: what they gained lately, and pauses where they lose."""

from __future__ import annotations

_FIRST_GAIN = 1.2
_LEARNING = 0.1
_FIRST_PAUSE, _LONGEST_PAUSE = 64, 1024
"""Tokens until a draft is tried again after drafts have lost."""
_TRIES_AFTER_PAUSE = 4


class DraftPayoff:
    """The speed with drafts over the speed of single tokens, as measured."""

    def __init__(self) -> None:
        self.gain = _FIRST_GAIN
        """Tokens that drafts gave, over those that single tokens would have given in their time."""
        self._pause = _FIRST_PAUSE
        self._waiting = 0
        self._tries = 0

    def allows(self) -> bool:
        """Whether to draft for the next token; call it once a token."""
        if self._waiting:
            self._waiting -= 1
            return False
        return True

    def record(self, tokens: int, seconds: float, single_s: float) -> None:
        """Note that a draft gave ``tokens`` in ``seconds``; a single token takes ``single_s``."""
        self.gain += _LEARNING * (tokens * single_s / seconds - self.gain)
        self._tries += 1
        if self.gain >= 1.0:
            self._pause = _FIRST_PAUSE
        elif self._tries >= _TRIES_AFTER_PAUSE:
            self._waiting, self._tries = self._pause, 0
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
