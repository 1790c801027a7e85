"""Fuzzy search: the letters in their order, the best match first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def best_matches(
    query: str,
    items: Iterable[T],
    text: Callable[[T], str],
    description: Callable[[T], str] | None = None,
) -> list[T]:
    """The ``items`` whose ``text`` matches, best first; all, in their order, for an empty query.

    They are followed by those whose ``description`` has every word of the query: in a sentence, the
    letters alone are found nearly always.
    """
    if not query.strip():
        return list(items)
    from textual.fuzzy import Matcher

    matcher = Matcher(query)
    words = query.casefold().split()
    scored: list[tuple[float, T]] = []
    for item in items:
        score = matcher.match(text(item))
        if score <= 0 and description is not None:
            described = description(item).casefold()
            score = 0.0 if all(word in described for word in words) else -1.0
        elif score <= 0:
            score = -1.0
        scored.append((score, item))
    return [item for score, item in sorted(scored, key=lambda pair: -pair[0]) if score >= 0]
