"""The words of a text, as search compares them: without case, accents and punctuation.

Scripts without spaces between words (Chinese, Japanese, Korean, Thai) have a word for each
character: a phrase of them is found wherever it stands, however short it is. So has each emoji.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple
from unicodedata import combining, is_normalized, normalize

from msgspec import Struct

_SINGLE = (
    "\u0e01-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2190-\u24ff\u2580-\u2bff\u3005\u3007"
    "\u3040-\u30ff\u3100-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7ff"
    "\uf900-\ufaff\uff66-\uff9f\U0001f000-\U0001faff\U00020000-\U0003ffff"
)
"""Characters that are words."""
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u064b-\u065f\u0670\u06d6-\u06ed\u0711\u0730-\u074a\u0900-\u0963\u0966-\u096f\u0971-\u0dff"
    "\u0f71-\u0f84\u180b-\u180d\u1ab0-\u1aff\u1dc0-\u1dff\u200c\u200d\u20d0-\u20ff\ufe00-\ufe0f"
    "\ufe20-\ufe2f"
)
"""Characters that go on a word: accents and vowel signs are no letters in Python's ``\\w``."""
_LETTER = rf"[^\W_{_SINGLE}]"
_NOT_IN_A_WORD = "[\x00-/:-@\\[-`{-\x7f\u200c\u200d\ufe00-\ufe0f]"
_ACCENTS = frozenset((*range(10, 36), *range(200, 241)))
"""Combining classes of accents, and of Hebrew and Arabic vowels; not of vowel signs in India, and
not of the marks that make か to が."""
_LONGEST = 100
"""Characters of a word that count: what is longer is data, such as base64."""

Span = tuple[int, int]
"""The first character of a match, and the first one after it."""


class Word(NamedTuple):
    """A word as it is compared, and its place in the text."""

    text: str
    start: int
    end: int


@lru_cache(maxsize=1)
def _word_pattern() -> re.Pattern[str]:
    """A word; compiled when it is first needed, which takes some milliseconds."""
    return re.compile(rf"[{_SINGLE}]|{_LETTER}+(?:[{_MARKS}]+{_LETTER}*)*")


@lru_cache(maxsize=1 << 16)
def fold(word: str) -> str:
    """``word`` as it is compared; empty if nothing of it is."""
    if word.isascii():
        return word.lower()[:_LONGEST]
    letters = normalize("NFKD", word.casefold())
    plain = "".join(char for char in letters if combining(char) not in _ACCENTS)
    return re.sub(_NOT_IN_A_WORD, "", normalize("NFC", plain).casefold())[:_LONGEST]


def composed(text: str) -> str:
    """``text`` in which each syllable of Korean is one character, as are letters with accents."""
    return text if is_normalized("NFC", text) else normalize("NFC", text)


def words(text: str) -> list[str]:
    """The words of ``text`` in their order, as they are compared."""
    if text.isascii():
        return [word[:_LONGEST] for word in re.findall("[0-9a-z]+", text.lower())]
    return [folded for word in _word_pattern().findall(composed(text)) if (folded := fold(word))]


def word_line(text: str) -> str:
    """The words of ``text`` with a space before each and after the last: quick to search in."""
    return f" {' '.join(words(text))} "


def words_with_places(text: str) -> Iterator[Word]:
    """The words of ``text``, which is ``composed``, with their places in it."""
    for match in _word_pattern().finditer(text):
        if folded := fold(match[0]):
            yield Word(folded, match.start(), match.end())


class Term(Struct, frozen=True):
    """What is searched: one word, or several that follow each other."""

    words: tuple[str, ...]
    prefix: bool = False
    """Whether the last word may go on in the text."""

    @classmethod
    def of(cls, text: str, *, prefix: bool) -> Term | None:
        """The words of ``text``, the last of which may go on with ``prefix``; None if it has none.

        A single letter does not go on: nearly every text has a word that begins with it.
        """
        found = tuple(words(text))
        return cls(found, prefix and len(found[-1]) > 1) if found else None

    @property
    def whole(self) -> Term:
        """The same words, the last of which does not go on."""
        return Term(self.words)

    @property
    def pattern(self) -> str:
        """What every ``word_line`` contains that has this term, and no other."""
        return f" {' '.join(self.words)}{'' if self.prefix else ' '}"

    def starts(self, texts: Sequence[str]) -> list[int]:
        """The places in ``texts`` at which the words of this term begin."""
        first, size = self.words[0], len(self.words)
        if size == 1:
            if self.prefix:
                return [at for at, text in enumerate(texts) if text.startswith(first)]
            return [at for at, text in enumerate(texts) if text == first]
        starts = [at for at, text in enumerate(texts) if text == first]
        return [at for at in starts if self._is_at(texts, at)]

    def _is_at(self, texts: Sequence[str], at: int) -> bool:
        *before, last = texts[at : at + len(self.words)]
        if (*before,) != self.words[:-1]:  # others, or too few
            return False
        return last.startswith(self.words[-1]) if self.prefix else last == self.words[-1]


def match_terms(texts: Sequence[str], terms: Sequence[Term]) -> list[Span]:
    """Where any of ``terms`` is among the words ``texts``; those that overlap are one."""
    ends: dict[int, int] = {}
    for term in terms:
        for start in term.starts(texts):
            ends[start] = max(ends.get(start, 0), start + len(term.words))
    spans: list[Span] = []
    for start, end in sorted(ends.items()):
        if spans and start < spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((start, end))
    return spans


def find_terms(text: str, terms: Sequence[Term]) -> list[Span]:
    """Where any of ``terms`` is in ``text``, from left to right; those that overlap are one."""
    found = list(words_with_places(text))
    spans = match_terms([word.text for word in found], terms)
    return [(found[start].start, found[end - 1].end) for start, end in spans]
