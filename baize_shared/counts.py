"""Counts in words."""

from __future__ import annotations


def count_text(count: int, noun: str) -> str:
    """``1 token``, ``2 tokens``; ``noun`` is the singular of a word with a regular plural."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
