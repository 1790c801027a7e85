"""How fast tokens are written: computed, and in words."""

from __future__ import annotations


def decoding_speed(tokens: int, seconds: float) -> float:
    """Tokens per second: those after the first, over the ``seconds`` from the first to the last; 0
    if that is unknown."""
    return (tokens - 1) / seconds if tokens > 1 and seconds > 0 else 0.0


def speed_text(tokens_per_second: float) -> str:
    """``33 tokens/s``, or ``0.4 tokens/s``; empty while it is unknown."""
    speed = speed_number(tokens_per_second)
    return f"{speed} tokens/s" if speed else ""


def speed_number(tokens_per_second: float) -> str:
    """The number in ``speed_text``; empty while it is unknown."""
    if tokens_per_second <= 0:
        return ""
    digits = 0 if tokens_per_second >= 9.95 else 1 if tokens_per_second >= 0.095 else 2
    return f"{tokens_per_second:.{digits}f}"
