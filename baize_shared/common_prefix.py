"""How far two sequences begin alike."""

from __future__ import annotations

from collections.abc import Sequence


def common_prefix_length(left: Sequence[object], right: Sequence[object]) -> int:
    """How many leading items ``left`` and ``right`` share."""
    length = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        length += 1
    return length
