"""Finding by typing: the letters in their order, the best match first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def best_matches(wanted: str, things: Iterable[T], words: Callable[[T], str]) -> list[T]:
    """Those of ``things`` whose ``words`` match; all of them, in their order, for an empty one."""
    if not wanted.strip():
        return list(things)
    from textual.fuzzy import Matcher

    matcher = Matcher(wanted)
    scored = [(matcher.match(words(thing)), thing) for thing in things]
    return [thing for score, thing in sorted(scored, key=lambda pair: -pair[0]) if score > 0]
