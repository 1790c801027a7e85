"""How much is read and written: enough for a figure, and little enough for a short run."""

from __future__ import annotations

from dataclasses import dataclass

from baize_tui.bench.results import Lengths


@dataclass(frozen=True, slots=True)
class Effort:
    """How long the parts of a run may take on this machine, in seconds."""

    rounds: int
    read_s: float
    """One prompt, read with the most threads."""
    write_s: float
    """One answer."""
    history_s: float
    """A conversation, read before its first token."""
    most_s: float
    """All rounds: the last begins only if it will end in time. The first runs in any case."""


NORMAL = Effort(rounds=3, read_s=0.5, write_s=0.6, history_s=2.0, most_s=150.0)
QUICK = Effort(rounds=1, read_s=0.0, write_s=0.0, history_s=0.0, most_s=0.0)
"""One round of the shortest texts."""

CONTEXT = 2048
"""Tokens of the context that the engine and the client load the model with."""
PROBE_PROMPT, PROBE_ANSWER = 64, 8
"""Tokens for a first look at the speed."""
_PROMPT, _ANSWER, _HISTORY = (64, 512), (16, 128), (128, 1024)
"""The least and the most tokens."""


def choose_lengths(effort: Effort, reading: float, writing: float, n_ctx: int) -> Lengths:
    """The lengths for a model that reads and writes so many tokens per second."""

    def tokens(seconds: float, speed: float, bounds: tuple[int, int], part: int) -> int:
        least, most = bounds
        return min(max(least, min(most, round(seconds * speed))), n_ctx // part)

    return Lengths(
        prompt=tokens(effort.read_s, reading, _PROMPT, 4),
        answer=tokens(effort.write_s, writing, _ANSWER, 8),
        history=tokens(effort.history_s, reading, _HISTORY, 2),
    )
