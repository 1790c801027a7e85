"""How far an answer in progress is, and how fast it grows."""

from __future__ import annotations

import time

from baize_tui.app.transcript.look import join_parts
from baize_tui.measures import count_text, speed_text

_SHORTEST_S = 0.5
"""Seconds from the first text on before a speed is shown: it would be wrong."""


class AnswerPace:
    """Counts the tokens of an answer, as of the times when they came."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._last = (0.0, 0)

    def note(self, tokens: int) -> None:
        """The answer has ``tokens`` tokens now."""
        self._last = time.monotonic(), tokens
        if self._first is None:
            self._first = self._last

    @property
    def text(self) -> str:
        """Such as ``142 tokens · 12 tokens/s``; empty while it is unknown."""
        if self._first is None or not self._last[1]:
            return ""
        seconds, tokens = (
            last - first for last, first in zip(self._last, self._first, strict=True)
        )
        speed = tokens / seconds if seconds >= _SHORTEST_S else 0.0
        return join_parts([count_text(self._last[1], "token"), speed_text(speed)])
