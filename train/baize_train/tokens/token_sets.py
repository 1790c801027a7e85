"""Dialogues as tokens, ready to be trained on: cut to length, counted, in Arrow."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from baize_train.corpus.dialogues import Dialogue
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer, TokenizedDialogue, Unusable
from baize_tui.engine.templates import memory_bound

if TYPE_CHECKING:
    from datasets import Dataset

IGNORED = -100
"""The label of a token that is only read: ``torch.nn.CrossEntropyLoss`` passes over it."""

_BOUND_FOR = 200
"""Dialogues."""


class TokenCounts(Struct):
    """What became of a corpus."""

    dialogues: int = 0
    trained: int = 0
    ignored: int = 0
    cut: int = 0
    """Tokens behind the longest length."""
    cut_dialogues: int = 0
    left_out: dict[str, int] = {}
    """Dialogues by why they are not trained on."""

    def leave_out(self, why: str) -> None:
        self.left_out[why] = self.left_out.get(why, 0) + 1


class TokenSet(Struct, frozen=True):
    dialogues: list[TokenizedDialogue]
    counts: TokenCounts

    def dataset(self) -> Dataset:
        """Columns ``input_ids`` and ``labels``, as TRL's trainers take them."""
        import pyarrow
        from datasets import Dataset

        ends = np.cumsum([0, *(one.count for one in self.dialogues)])
        ids = np.concatenate([np.frombuffer(one.ids, np.int32) for one in self.dialogues])
        trained = np.frombuffer(b"".join(one.trained for one in self.dialogues), np.uint8)
        labels = np.where(trained, ids, np.int32(IGNORED))
        columns: dict[str, Any] = {
            name: pyarrow.LargeListArray.from_arrays(ends, values).cast(
                pyarrow.list_(pyarrow.int32())
            )
            for name, values in (("input_ids", ids), ("labels", labels))
        }
        return Dataset(pyarrow.table(columns))


def tokenize(
    dialogues: Iterable[Dialogue], tokenizer: DialogueTokenizer, max_length: int | None
) -> TokenSet:
    """The tokens of all dialogues in which something is left to train on.

    Of a dialogue longer than ``max_length`` the end is cut, and counted.
    """
    found: list[TokenizedDialogue] = []
    counts = TokenCounts()
    waiting = iter(dialogues)
    while some := list(islice(waiting, _BOUND_FOR)):
        # A template may take only so much memory; what is kept of these is little beside it.
        with memory_bound():
            for dialogue in some:
                _add(dialogue, tokenizer, max_length, found, counts)
    return TokenSet(found, counts)


def _add(
    dialogue: Dialogue,
    tokenizer: DialogueTokenizer,
    max_length: int | None,
    found: list[TokenizedDialogue],
    counts: TokenCounts,
) -> None:
    try:
        whole = tokenizer.tokenize(dialogue)
    except Unusable as error:
        counts.leave_out(str(error))
        return
    kept = whole if max_length is None or whole.count <= max_length else whole.cut(max_length)
    # The first token of a sequence is predicted by nothing.
    if 1 not in kept.trained[1:]:
        counts.leave_out(f"no answer begins in its first {max_length} tokens")
        return
    found.append(kept)
    trained = kept.trained.count(1)
    counts.dialogues += 1
    counts.trained += trained
    counts.ignored += kept.count - trained
    counts.cut += whole.count - kept.count
    counts.cut_dialogues += whole.count > kept.count
