"""What has to be cut out of the KV cache so that it begins like a shorter prompt."""

from __future__ import annotations

from collections.abc import Sequence

from baize_shared.common_prefix import common_prefix_length

LEAST_TOKENS = 32
"""Fewer tokens after a gap are read again: they could be alike by accident."""


def find_gap(cached: Sequence[int], wanted: Sequence[int]) -> tuple[int, int] | None:
    """The start and end of what ``cached`` has and ``wanted`` lacks after what both begin with,
    so that both go on alike for as long as possible. None if they do not go on alike."""
    start = common_prefix_length(cached, wanted)
    anchor = list(wanted[start : start + LEAST_TOKENS])
    if len(anchor) < LEAST_TOKENS:
        return None
    best, longest = None, 0
    for end in range(start + 1, len(cached) - LEAST_TOKENS + 1):
        if cached[end] == anchor[0] and list(cached[end : end + LEAST_TOKENS]) == anchor:
            length = common_prefix_length(cached[end:], wanted[start:])
            if length > longest:
                best, longest = (start, end), length
    return best
