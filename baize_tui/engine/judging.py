"""How likely each token of an answer was, and which others were likely at its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from baize_shared.blas_threads import single_threaded_blas
from baize_tui.engine.draft_costs import MOST_TOKENS
from baize_tui.engine.kv_cache import KvCache
from baize_tui.engine.llama.vocabulary import Vocabulary
from baize_tui.engine.protocol import JudgedToken, TokenChoice

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def judge(
    cache: KvCache, vocabulary: Vocabulary, last: int, ids: Sequence[int], choices: int
) -> Iterator[JudgedToken]:
    """Judge each of ``ids``, which follow the token ``last``; the cache has what is before that.

    The probabilities are the model's own: those of all tokens add up to 1, and no sampler has
    changed them. Afterwards the cache has all tokens but the last.

    Raises:
        Aborted: the abort flag is set.
        EngineError: llama.cpp failed.
    """
    read = [last, *ids[:-1]]
    # As many logits as the context keeps of one call.
    for start in range(0, len(ids), MOST_TOKENS):
        part = read[start : start + MOST_TOKENS]
        cache.decode(part, of_all=True)
        logits = cache.context.logits_of_all(len(part), vocabulary.size)
        for row, chosen in zip(logits, ids[start:], strict=False):
            yield _judge_token(row, chosen, vocabulary, choices)


def _judge_token(
    logits: NDArray[np.float32], chosen: int, vocabulary: Vocabulary, choices: int
) -> JudgedToken:
    """``chosen`` at the place whose ``logits`` are [n_vocab]."""
    # Imported when used: a worker that only chats does not need it.
    import numpy as np

    with single_threaded_blas():
        probabilities = np.exp(logits.astype(np.float64) - logits.max())
        probabilities /= probabilities.sum()
        count = min(choices, vocabulary.size)
        likeliest = np.argpartition(probabilities, -count)[-count:]
        likeliest = likeliest[np.argsort(-probabilities[likeliest], kind="stable")]

    def choice(token: int) -> TokenChoice:
        text = vocabulary.piece(token, special=True).decode("utf-8", "replace")
        return TokenChoice(token, text, float(probabilities[token]))

    return JudgedToken(choice(chosen), [choice(int(token)) for token in likeliest])
