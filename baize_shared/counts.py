"""Counts in words."""

from __future__ import annotations

from collections.abc import Mapping


def count_text(count: int, noun: str) -> str:
    """``1 token``, ``2 tokens``; ``noun`` is the singular of a word with a regular plural."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def counts_text(counts: Mapping[str, int]) -> str:
    """``1 image, 2 tool calls``; the keys are nouns as in ``count_text``."""
    return ", ".join(count_text(count, noun) for noun, count in counts.items())
