"""Find dialogues and seeds that repeat earlier ones, exactly or nearly."""

from __future__ import annotations

import hashlib
import re
import unicodedata

import msgspec

from baize_train.corpus.dialogues import Dialogue

REPEATED = "repeats an earlier dialogue"
"""The reason for dropping a dialogue, in words for the user."""
PERMUTATIONS = 128
_WORD = re.compile(r"\w+")
_SHINGLE = 5
"""Characters rather than words, so that scripts without spaces work too."""


def normalize(text: str) -> str:
    """``text`` in NFKC, without case and punctuation, with single spaces."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def dialogue_text(dialogue: Dialogue) -> str:
    """The text to compare dialogues by: all turns but the system's."""
    return "\n".join(turn.content for turn in dialogue.messages if turn.role != "system")


class SeenTexts:
    """The texts added so far. ``threshold`` is the Jaccard similarity (0.0 to 1.0) above which two
    texts count as the same; 1.0 finds exact repeats only.

    MinHash over runs of five characters (Broder 1997), by datasketch.
    """

    def __init__(self, threshold: float = 0.8) -> None:
        self._exact: set[bytes] = set()
        self._near = _NearTexts(threshold) if threshold < 1 else None

    def add(self, text: str) -> bool:
        """Add ``text`` and return whether it was new."""
        # Without case and punctuation, ``2+2`` would be ``2-2``: that is for near repeats alone.
        exact = " ".join(unicodedata.normalize("NFC", text).split())
        digest = hashlib.sha256(exact.encode()).digest()
        if digest in self._exact:
            return False
        self._exact.add(digest)
        return self._near is None or self._near.add(normalize(text))


class SeenDialogues:
    """The dialogues added so far. An exact repeat is one in every turn, the system's too, and in
    the rejected answer of a pair; blanks inside a text, such as those of code, count. A near one is
    like another by ``threshold``, as in ``SeenTexts``.
    """

    def __init__(self, threshold: float) -> None:
        self._exact: set[bytes] = set()
        self._near = SeenTexts(threshold) if threshold < 1 else None

    def add(self, dialogue: Dialogue) -> bool:
        """Add ``dialogue`` and return whether it was new."""
        rejected = str(dialogue.meta.get("rejected_answer", ""))
        turns = [
            msgspec.structs.replace(
                turn, content=unicodedata.normalize("NFC", turn.content.strip())
            )
            for turn in dialogue.messages
        ]
        digest = hashlib.sha256(msgspec.json.encode([turns, rejected])).digest()
        if digest in self._exact:
            return False
        self._exact.add(digest)
        return self._near is None or self._near.add(f"{dialogue_text(dialogue)}\n{rejected}")


class _NearTexts:
    def __init__(self, threshold: float) -> None:
        # Imported here: it is in the extra [corpus], which most commands do not need.
        from datasketch import MinHash, MinHashLSH

        self._new_sketch = MinHash
        self._index = MinHashLSH(threshold, PERMUTATIONS)
        self._count = 0

    def add(self, plain: str) -> bool:
        sketch = self._new_sketch(PERMUTATIONS)
        runs = {plain[i : i + _SHINGLE] for i in range(max(len(plain) - _SHINGLE + 1, 1))}
        sketch.update_batch([run.encode() for run in runs])
        if self._index.query(sketch):
            return False
        self._index.insert(str(self._count), sketch, check_duplication=False)
        self._count += 1
        return True
