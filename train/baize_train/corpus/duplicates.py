"""Dialogues and seeds that say the same: exactly, or nearly so."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TypeVar

from datasketch import MinHash, MinHashLSH

from baize_train.corpus.dialogues import Dialogue

T = TypeVar("T")
PERMUTATIONS = 128
_WORD = re.compile(r"\w+")
_SHINGLE = 5
"""Characters, for scripts without spaces too."""


def normalised(text: str) -> str:
    """``text`` without case, accents of compatibility, punctuation and spaces of any width."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def text_of(dialogue: Dialogue) -> str:
    return "\n".join(turn.content for turn in dialogue.messages if turn.role != "system")


class Seen:
    """What has been seen, exactly and nearly; ``threshold`` is a Jaccard similarity, 1 is exactly.

    MinHash over runs of five characters, as datasketch has it (Broder 1997).
    """

    def __init__(self, threshold: float = 0.8) -> None:
        self._exact: set[bytes] = set()
        self._near = MinHashLSH(threshold, PERMUTATIONS) if threshold < 1 else None
        self._count = 0

    def add(self, text: str) -> bool:
        """Whether ``text`` is new; it has been seen from now on."""
        plain = normalised(text)
        digest = hashlib.sha256(plain.encode()).digest()
        if digest in self._exact:
            return False
        self._exact.add(digest)
        if self._near is None:
            return True
        sketch = MinHash(PERMUTATIONS)
        runs = {plain[i : i + _SHINGLE] for i in range(max(len(plain) - _SHINGLE + 1, 1))}
        sketch.update_batch([run.encode() for run in runs])
        if self._near.query(sketch):
            return False
        self._near.insert(str(self._count), sketch, check_duplication=False)
        self._count += 1
        return True


def without_repeats(dialogues: Iterable[Dialogue], threshold: float = 0.8) -> Iterator[Dialogue]:
    """Of dialogues that say nearly the same, the first."""
    seen = Seen(threshold)
    return (dialogue for dialogue in dialogues if seen.add(text_of(dialogue)))
