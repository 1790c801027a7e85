"""Whether a file says what its source says: the same tokens, and nearly the same next words.

The source is the merge itself, in float32: with it and with the file llama.cpp reads the same text,
and the distributions over the next token are compared, as llama-perplexity's ``--kl-divergence``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from baize_convert.failures import ConvertError
from baize_convert.verify.llama_model import LlamaModel, open_model, open_tokenizer
from baize_convert.verify.source_tokenizers import SourceTokenizer
from baize_shared.blas_threads import single_threaded_blas

Floats = NDArray[np.float32]
WINDOW = 256
"""Tokens that are read together."""
DEFAULT_TOKENS = 768


@dataclass(frozen=True)
class Difference:
    """A line that two tokenizers split otherwise."""

    line: str
    source: list[int]
    result: list[int]


@dataclass(frozen=True)
class TokenizerComparison:
    lines: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class PredictionComparison:
    """Over ``tokens`` predictions: how far the result's are from the source's."""

    tokens: int
    mean_kl: float
    """Kullback-Leibler divergence of the result from the source, in nats."""
    highest_kl: float
    same_top: float
    """How often both hold the same token for the likeliest."""
    source_perplexity: float
    result_perplexity: float


def verification_text() -> str:
    """The text in many scripts that everything is compared on."""
    return files("baize_convert").joinpath("verify_text.txt").read_text("utf-8")


def compare_tokenizers(source: SourceTokenizer, result: Path) -> TokenizerComparison:
    """Tokenize every line with both, and the whole text, which has line ends in it.

    Raises:
        ConvertError: llama.cpp cannot read the vocabulary of ``result``.
    """
    text = verification_text()
    lines = [*(line for line in text.split("\n") if line), text]
    differences = []
    with open_tokenizer(result) as tokenize:
        for line in lines:
            ours, theirs = tokenize(line), source(line)
            if ours != theirs:
                differences.append(Difference(line, theirs, ours))
    return TokenizerComparison(len(lines), tuple(differences))


@single_threaded_blas()
def compare_logits(
    source: Path,
    result: Path,
    tokens: int = DEFAULT_TOKENS,
    progress: Callable[[int], object] = lambda _: None,
) -> PredictionComparison:
    """Read the text with both files; ``progress`` hears of each window how many tokens it had.

    Keeps what the source predicts, [tokens, vocabulary] in float32.

    Raises:
        ConvertError: llama.cpp cannot read one of them, or their vocabularies differ in size.
    """
    wanted = []
    with open_model(source, WINDOW) as model:
        windows = _windows(model, tokens)
        for window in windows:
            wanted.append(_log_probabilities(model, window))
            progress(len(window))
    divergences: list[Floats] = []
    same_top = 0
    surprise = np.zeros(2)
    with open_model(result, WINDOW) as model:
        if model.n_vocab != wanted[0].shape[1]:
            raise ConvertError(
                f"{result} has {model.n_vocab} tokens, its source {wanted[0].shape[1]}"
            )
        for window, expected in zip(windows, wanted, strict=True):
            found = _log_probabilities(model, window)
            divergences.append((np.exp(expected) * (expected - found)).sum(axis=1))
            same_top += int((expected.argmax(axis=1) == found.argmax(axis=1)).sum())
            rows, following = np.arange(len(window) - 1), np.array(window[1:])
            surprise -= [expected[rows, following].sum(), found[rows, following].sum()]
            progress(len(window))
    all_divergences = np.concatenate(divergences)
    count = len(all_divergences)
    source_perplexity, result_perplexity = np.exp(surprise / (count - len(windows)))
    return PredictionComparison(
        tokens=count,
        mean_kl=float(all_divergences.mean()),
        highest_kl=float(all_divergences.max()),
        same_top=same_top / count,
        source_perplexity=float(source_perplexity),
        result_perplexity=float(result_perplexity),
    )


def _windows(model: LlamaModel, tokens: int) -> list[list[int]]:
    """The text in pieces that fit a context, each begun as the model wants it."""
    ids = model.tokenize(verification_text())[:tokens]
    step = WINDOW - len(model.begin)
    return [model.begin + ids[at : at + step] for at in range(0, len(ids), step)]


def _log_probabilities(model: LlamaModel, window: list[int]) -> Floats:
    """The distribution after each token: [tokens, vocabulary], as logarithms."""
    logits = model.logits(window)
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits
