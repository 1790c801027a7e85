"""Counts and lengths of a corpus, as in the paper's Table 2."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from baize_train.corpus.dialogues import Dialogue

_WORD = re.compile(r"\w+")


class CorpusStatistics(Struct, frozen=True):
    """Lengths are in words; a character of a script without spaces counts as one word."""

    dialogues: int
    turns: int
    """Answers."""
    average_turns: float
    average_length: float
    """Of one turn of either side. The paper names no unit; words come closest to its figures."""
    longest_dialogue: int
    characters: int
    sources: dict[str, int] = {}
    """Dialogues of each source."""


def count_words(text: str) -> int:
    """Number of words; an ideograph or a kana counts as one."""
    return sum(sum(_is_a_word(char) for char in word) or 1 for word in _WORD.findall(text))


def _is_a_word(char: str) -> bool:
    return not char.isascii() and unicodedata.east_asian_width(char) == "W"


def measure_corpus(dialogues: Iterable[Dialogue]) -> CorpusStatistics:
    """The statistics of ``dialogues``; system turns do not count."""
    count = answers = turns = words = longest = characters = 0
    sources: Counter[str] = Counter()
    for dialogue in dialogues:
        spoken = [turn for turn in dialogue.messages if turn.role != "system"]
        lengths = [count_words(turn.content) for turn in spoken]
        count, answers, turns = count + 1, answers + dialogue.answer_count, turns + len(spoken)
        words, longest = words + sum(lengths), max(longest, sum(lengths))
        characters += sum(len(turn.content) for turn in spoken)
        sources[dialogue.source] += 1
    return CorpusStatistics(
        dialogues=count,
        turns=answers,
        average_turns=round(answers / count, 2) if count else 0.0,
        average_length=round(words / turns, 1) if turns else 0.0,
        longest_dialogue=longest,
        characters=characters,
        sources=dict(sources.most_common()),
    )
