"""How far two sequences begin alike."""

from __future__ import annotations

from collections.abc import Sequence


def common_prefix_length(left: Sequence[object], right: Sequence[object]) -> int:
    """How many leading items ``left`` and ``right`` share."""
    length = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        length += 1
    return length
