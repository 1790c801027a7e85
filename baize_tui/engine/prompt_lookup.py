"""Guesses the next tokens from what the conversation already has, as when a text is repeated.

Prompt lookup decoding (Saxena 2023; llama.cpp's ``lookup`` example): where the last tokens occurred
before, what followed them then is likely to follow again. A guess costs nothing, so each one is
compared with the token that came, and the rate of right ones decides how many to compute at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from baize_shared.common_prefix import common_prefix_length

_NGRAM = 3
"""Tokens that must have occurred before."""
_LONGEST_MATCH = 32
_FIRST_RATES = (0.3, 0.5, 0.8)
"""Rates of right guesses before any was compared, by length of the match."""
_LENGTHS = (4, 8)
"""Matches from these lengths on are counted apart: the longer, the likelier."""
_LEARNING = 0.08


class PromptLookup:
    """An index of the tokens of one sequence, which grows at its end."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        """Where the tokens after an n-gram are that occurred before the end."""
        self._at = 0
        """Position of the token that is expected next; 0 for none."""
        self._match = 0
        """Tokens before it that match the end of the sequence."""
        self._rates = list(_FIRST_RATES)
        for token in ids:
            self._append(token)
        self._search()

    @property
    def rate(self) -> float:
        """How likely the first guess is right, from earlier ones with a match as long."""
        return self._rates[self._bucket]

    @property
    def _bucket(self) -> int:
        return sum(self._match >= length for length in _LENGTHS)

    def guesses(self, most: int) -> list[int]:
        """Up to ``most`` tokens that may follow; empty if the end of the sequence is new."""
        return self._ids[self._at : self._at + most] if self._at else []

    def add(self, token: int) -> None:
        """Append the token that came, and learn from it."""
        if self._at:
            right = self._ids[self._at] == token
            self._rates[self._bucket] += _LEARNING * (right - self.rate)
            self._at, self._match = (self._at + 1, self._match + 1) if right else (0, 0)
        self._append(token)
        if not self._at:
            self._search()

    def _append(self, token: int) -> None:
        end = len(self._ids)
        if end >= _NGRAM:
            # Noted one token late, so that the end does not find itself.
            self._after[tuple(self._ids[end - _NGRAM : end])] = end
        self._ids.append(token)

    def _search(self) -> None:
        """Find where the end of the sequence occurred before."""
        self._at = self._after.get(tuple(self._ids[-_NGRAM:]), 0)
        if self._at:
            before = self._ids[max(0, self._at - _LONGEST_MATCH) : self._at]
            end = self._ids[-_LONGEST_MATCH:]
            self._match = common_prefix_length(before[::-1], end[::-1])
