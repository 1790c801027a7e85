"""What a dialogue will take, before any is held."""

from __future__ import annotations

from baize_train.selfchat.modes import Mode
from baize_train.speakers.usage import Usage

_TOKENS_PER_TURN = 150
"""A question with its answer, about as in the second corpora of the paper."""


def estimate_usage(mode: Mode, turns: int) -> Usage:
    """Tokens of one dialogue of ``turns`` answers, roughly."""
    if mode == "transcript":
        prompt = _TOKENS_PER_TURN
    else:
        # Each turn reads all earlier ones, the asker's and the answerer's.
        prompt = sum(2 * number * _TOKENS_PER_TURN for number in range(1, turns + 1))
    return Usage(prompt, turns * _TOKENS_PER_TURN)
