"""How likely a model considers a text, for perplexity and divergences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from baize_shared.blas_threads import single_threaded_blas
from baize_tui.engine.llama.context import Context

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 128
"""Tokens of one decode call: the logits of all of them are kept."""


def logits(context: Context, ids: Sequence[int], n_vocab: int) -> Iterator[NDArray[np.float32]]:
    """The logits after each of ``ids`` from an empty cache, ``BATCH`` rows of [n_vocab] at a time.

    Each array is a view, valid until the next one is computed.

    Raises:
        EngineError: there are more ids than the context holds.
    """
    for start in range(0, len(ids), BATCH):
        part = ids[start : start + BATCH]
        context.decode(part, start, logits=True, of_all=True)
        yield context.logits_of_all(len(part), n_vocab)


def losses(context: Context, ids: Sequence[int], n_vocab: int) -> list[float]:
    """The negative log-likelihood of each of ``ids`` after the first, in nats.

    Raises:
        EngineError: there are more ids than the context holds.
    """
    # Imported when used: a worker that only chats does not need it.
    import numpy as np

    result: list[float] = []
    # The last id is only predicted: its own logits are not needed.
    # numpy's threads would otherwise compete with llama.cpp's.
    with single_threaded_blas():
        for part in logits(context, ids[:-1], n_vocab):
            rows = part.astype(np.float64)
            rows -= rows.max(axis=1, keepdims=True)
            start = len(result) + 1
            chosen = rows[np.arange(len(rows)), ids[start : start + len(rows)]]
            result += (np.log(np.exp(rows).sum(axis=1)) - chosen).tolist()
    return result
