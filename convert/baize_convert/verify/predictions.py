"""Compares the predictions of a converted file with those of its source.

llama.cpp reads the same text with both files, and the distributions over the next token are
compared, as in ``llama-perplexity --kl-divergence``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from baize_convert.failures import ConvertError
from baize_convert.parity.llama_model import LlamaModel, open_model
from baize_convert.parity.text import DEFAULT_TOKENS, verification_text
from baize_shared.blas_threads import single_threaded_blas

Floats = NDArray[np.float32]
WINDOW = 256
"""Tokens that are read together."""


@dataclass(frozen=True)
class PredictionComparison:
    """How far the result's predictions are from the source's, over ``tokens`` predictions."""

    tokens: int
    mean_kl: float
    """Kullback-Leibler divergence of the result from the source, in nats."""
    highest_kl: float
    same_top: float
    """The share of predictions in which both have the same most likely token, 0 to 1."""
    source_perplexity: float
    result_perplexity: float


@single_threaded_blas()
def compare_logits(
    source: Path,
    result: Path,
    tokens: int = DEFAULT_TOKENS,
    progress: Callable[[int], object] = lambda _: None,
) -> PredictionComparison:
    """Read the text with both files; ``progress`` is called with the tokens of each window.

    Keeps the source's predictions in memory: [tokens, vocabulary] in float32.

    Raises:
        ConvertError: llama.cpp cannot read one of the files, or their vocabularies differ in size.
    """
    expected = []
    with open_model(source, WINDOW) as model:
        windows = _windows(model, tokens)
        for window in windows:
            expected.append(_log_probabilities(model, window))
            progress(len(window))
    differences = _Differences()
    with open_model(result, WINDOW) as model:
        if model.n_vocab != expected[0].shape[1]:
            raise ConvertError(
                f"{result} has {model.n_vocab} tokens, but its source has {expected[0].shape[1]}"
            )
        for window, log_probabilities in zip(windows, expected, strict=True):
            differences.add(window, log_probabilities, _log_probabilities(model, window))
            progress(len(window))
    return differences.summary()


@dataclass
class _Differences:
    """Sums over the windows that were compared."""

    windows: int = 0
    same_top: int = 0
    divergences: list[Floats] = field(default_factory=list)
    source_surprise: float = 0.0
    result_surprise: float = 0.0

    def add(self, window: list[int], expected: Floats, actual: Floats) -> None:
        """Compare log probabilities [tokens, vocabulary] after each token of ``window``."""
        self.windows += 1
        self.divergences.append((np.exp(expected) * (expected - actual)).sum(axis=1))
        self.same_top += int((expected.argmax(axis=1) == actual.argmax(axis=1)).sum())
        rows, following = np.arange(len(window) - 1), np.array(window[1:])
        self.source_surprise -= float(expected[rows, following].sum())
        self.result_surprise -= float(actual[rows, following].sum())

    def summary(self) -> PredictionComparison:
        divergences = np.concatenate(self.divergences)
        count = len(divergences)
        predicted = count - self.windows  # the token after each window is unknown
        return PredictionComparison(
            tokens=count,
            # It is never negative, but what float32 makes of equal predictions can be.
            mean_kl=max(float(divergences.mean()), 0.0),
            highest_kl=max(float(divergences.max()), 0.0),
            same_top=self.same_top / count,
            source_perplexity=float(np.exp(self.source_surprise / predicted)),
            result_perplexity=float(np.exp(self.result_surprise / predicted)),
        )


def _windows(model: LlamaModel, tokens: int) -> list[list[int]]:
    """The ids of the text in windows, each starting with the model's begin token if it has one."""
    ids = model.tokenize(verification_text())[:tokens]
    step = WINDOW - len(model.begin)
    return [model.begin + ids[at : at + step] for at in range(0, len(ids), step)]


def _log_probabilities(model: LlamaModel, window: list[int]) -> Floats:
    """The distribution after each token, as logarithms: [tokens, vocabulary]."""
    logits = model.logits(window)
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits
