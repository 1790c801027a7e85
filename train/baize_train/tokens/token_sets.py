"""Corpora as tokens: cut to length, counted, and as an Arrow table for TRL."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from baize_train.corpus.dialogues import Dialogue
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer, TokenizedDialogue
from baize_train.tokens.skip_reasons import SkipReason, UntrainableDialogue
from baize_tui.engine.prompts.template_sandbox import memory_limit

if TYPE_CHECKING:
    from datasets import Dataset

IGNORED_LABEL = -100
"""``torch.nn.CrossEntropyLoss`` ignores tokens with this label."""
_DIALOGUES_AT_ONCE = 200
"""Dialogues that are tokenized under one limit of memory."""


class TokenCounts(Struct):
    """What a corpus contributes to training."""

    dialogues: int = 0
    trained: int = 0
    ignored: int = 0
    cut: int = 0
    """Tokens beyond the maximum length."""
    cut_dialogues: int = 0
    left_out: dict[str, int] = {}
    """Skipped dialogues by the reason, in words for the user."""

    def count_cut(self, tokens: int) -> None:
        """Count a dialogue, or an answer, that loses ``tokens`` at its end; 0 is none."""
        self.cut += tokens
        self.cut_dialogues += tokens > 0

    def count_skipped(self, reason: str) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


class TokenSet(Struct, frozen=True):
    """Tokenized dialogues with their counts."""

    dialogues: list[TokenizedDialogue]
    counts: TokenCounts

    def dataset(self) -> Dataset:
        """Columns ``input_ids`` and ``labels`` (lists of int32), as TRL's trainers expect them."""
        import pyarrow
        from datasets import Dataset

        ends = np.cumsum([0, *(dialogue.length for dialogue in self.dialogues)])
        ids = np.concatenate([np.frombuffer(d.ids, np.int32) for d in self.dialogues])
        trained = np.frombuffer(b"".join(d.trained for d in self.dialogues), np.uint8)
        labels = np.where(trained, ids, np.int32(IGNORED_LABEL))
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
    """The tokens of all dialogues that have something to train on.

    A dialogue longer than ``max_length`` tokens loses its end, and the loss is counted.
    """
    tokenized: list[TokenizedDialogue] = []
    counts = TokenCounts()
    waiting = iter(dialogues)
    while batch := list(islice(waiting, _DIALOGUES_AT_ONCE)):
        # The limit is for the template; the tokens of so few dialogues take little memory.
        with memory_limit():
            for dialogue in batch:
                try:
                    tokenized.append(_tokenize_one(dialogue, tokenizer, max_length, counts))
                except UntrainableDialogue as error:
                    counts.count_skipped(str(error))
    return TokenSet(tokenized, counts)


def _tokenize_one(
    dialogue: Dialogue, tokenizer: DialogueTokenizer, max_length: int | None, counts: TokenCounts
) -> TokenizedDialogue:
    """The tokens of ``dialogue`` up to ``max_length``, added to ``counts``.

    Raises:
        UntrainableDialogue: nothing in it can be trained.
    """
    full = tokenizer.tokenize(dialogue)
    if 1 not in full.trained:
        raise UntrainableDialogue(SkipReason.NOT_TRAINED)
    kept = full if max_length is None or full.length <= max_length else full.truncated(max_length)
    # Nothing predicts the first token of a sequence.
    if 1 not in kept.trained[1:]:
        raise UntrainableDialogue(SkipReason.TOO_LONG, f"{max_length} tokens")
    trained = kept.trained.count(1)
    counts.dialogues += 1
    counts.trained += trained
    counts.ignored += kept.length - trained
    counts.count_cut(full.length - kept.length)
    return kept
