"""Fuzzy search: the letters in their order, the best match first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def best_matches(query: str, items: Iterable[T], text: Callable[[T], str]) -> list[T]:
    """The ``items`` whose ``text`` matches, best first; all, in their order, for an empty query."""
    if not query.strip():
        return list(items)
    from textual.fuzzy import Matcher

    matcher = Matcher(query)
    scored = [(matcher.match(text(item)), item) for item in items]
    return [item for score, item in sorted(scored, key=lambda pair: -pair[0]) if score > 0]
