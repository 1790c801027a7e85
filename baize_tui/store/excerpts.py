"""A line of a text around what was searched in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from baize_tui.store.words import Span, Term, Word, composed, find_terms, words_with_places

_BEFORE, _LENGTH = 60, 240
"""Characters before the match, and of the whole line."""


def excerpt_around(text: str, terms: Sequence[Term]) -> tuple[str, tuple[Span, ...]]:
    """A line of ``text`` around the longest of ``terms``, and where any of them is in it."""
    text = composed(text)
    longest = max(terms, key=lambda term: sum(map(len, term.words)), default=None)
    at = _first(text, longest) if longest is not None else 0
    start = _word_start(text, max(at - _BEFORE, 0), at)
    line = " ".join(text[start : start + _LENGTH].split())
    if start:
        line = f"… {line}"
    if start + _LENGTH < len(text):
        line += "…"
    return line, tuple(find_terms(line, terms))


def _first(text: str, term: Term) -> int:
    """Where ``term`` first is in ``text``; 0 if it is not there."""
    last: deque[Word] = deque(maxlen=len(term.words))
    for word in words_with_places(text):
        last.append(word)
        if word.text.startswith(term.words[-1]) and term.starts([w.text for w in last]) == [0]:
            return last[0].start
    return 0


def _word_start(text: str, at: int, end: int) -> int:
    """The first place from ``at`` on, and before ``end``, at which no word is cut."""
    if at == 0:
        return 0
    space = next((i for i in range(at, end) if text[i].isspace()), at)
    return space + 1 if space < end else at
