"""Fuzzy search: the letters in their order, the best match first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

_MANY = 500
"""Matches above which they are ranked by where the letters are: scoring takes 0.1 ms for each."""


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
    letters, words = query.lower(), query.casefold().split()
    matches: list[T] = []
    described: list[T] = []
    for item in items:
        if _has_letters(text(item).lower(), letters):
            matches.append(item)
        elif description is not None and _has_words(description(item), words):
            described.append(item)
    rank = _rank_by_place if len(matches) > _MANY else _rank_by_score
    return [*rank(query, matches, text), *described]


def _has_letters(text: str, letters: str) -> bool:
    """Whether ``letters`` are in ``text`` in their order."""
    at = 0
    for letter in letters:
        at = text.find(letter, at) + 1
        if not at:
            return False
    return True


def _has_words(text: str, words: list[str]) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


def _rank_by_score(query: str, items: list[T], text: Callable[[T], str]) -> list[T]:
    from textual.fuzzy import Matcher

    matcher = Matcher(query)
    return sorted(items, key=lambda item: -matcher.match(text(item)))


def _rank_by_place(query: str, items: list[T], text: Callable[[T], str]) -> list[T]:
    """Those in which the query begins a word, then those that contain it, then the others."""
    whole = re.escape(query.strip())
    begins, contains = (re.compile(p, re.IGNORECASE) for p in (rf"\b{whole}", whole))

    def rank(item: T) -> int:
        own = text(item)
        return 0 if begins.search(own) else 1 if contains.search(own) else 2

    return sorted(items, key=rank)
