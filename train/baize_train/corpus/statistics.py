"""What a corpus is, in the form of the paper's Table 2."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from baize_train.corpus.dialogues import Dialogue

_WORD = re.compile(r"\w+")


class CorpusStatistics(Struct, frozen=True):
    """``average_length`` is in words of a turn, one for each character of a script without spaces:
    the paper names no unit."""

    dialogues: int
    turns: int
    average_turns: float
    average_length: float
    longest_dialogue: int
    """Words."""
    characters: int
    sources: dict[str, int] = {}


def words_in(text: str) -> int:
    """Words; an ideograph or a kana is one."""
    return sum(sum(_stands_alone(char) for char in word) or 1 for word in _WORD.findall(text))


def _stands_alone(char: str) -> bool:
    return not char.isascii() and unicodedata.east_asian_width(char) == "W"


def statistics_of(dialogues: Iterable[Dialogue]) -> CorpusStatistics:
    count = turns = said = words = longest = characters = 0
    sources: Counter[str] = Counter()
    for dialogue in dialogues:
        here = [turn for turn in dialogue.messages if turn.role != "system"]
        lengths = [words_in(turn.content) for turn in here]
        count, turns, said = count + 1, turns + dialogue.turns, said + len(here)
        words, longest = words + sum(lengths), max(longest, sum(lengths))
        characters += sum(len(turn.content) for turn in here)
        sources[dialogue.source] += 1
    return CorpusStatistics(
        dialogues=count,
        turns=turns,
        average_turns=round(turns / count, 2) if count else 0.0,
        average_length=round(words / said, 1) if said else 0.0,
        longest_dialogue=longest,
        characters=characters,
        sources=dict(sources.most_common()),
    )
