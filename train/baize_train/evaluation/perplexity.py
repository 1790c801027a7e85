"""The perplexity of models on held-out dialogues.

All models run in one engine, llama.cpp, on the same tokens: those of the answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from baize_train.corpus.dialogues import Dialogue
from baize_train.errors import TrainError, warn
from baize_train.speakers.concurrency import ReportDone
from baize_train.speakers.runnable_model import RunnableModel
from baize_train.tokens.chat_format import choose_chat_format
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.token_sets import TokenSet, tokenize
from baize_train.tokens.vocabulary import open_vocabulary
from baize_tui.engine.blocking import BlockingEngine
from baize_tui.engine.client import EngineFailure, ModelSpec
from baize_tui.engine.protocol import AdapterUse
from baize_tui.paths import project_paths


class Perplexity(Struct, frozen=True):
    """Over the tokens of answers, their ends included."""

    tokens: int
    loss: float
    """Mean negative log-likelihood, in nats."""
    cut: int = 0
    """Tokens beyond the maximum length."""

    @property
    def perplexity(self) -> float:
        return math.exp(self.loss)


def tokenize_for_model(
    dialogues: Sequence[Dialogue],
    model: RunnableModel,
    format: str | None,
    system: str | None,
    max_length: int,
) -> TokenSet:
    """The tokens of ``dialogues`` in the vocabulary and the prompt format of ``model``.

    Raises:
        TrainError: no dialogue can be measured.
    """
    with open_vocabulary(model.path) as opened:
        chat_format = choose_chat_format(opened, format, system)
        tokenizer = DialogueTokenizer(opened.vocabulary, chat_format)
        tokens = tokenize(dialogues, tokenizer, max_length)
    if not tokens.dialogues:
        raise TrainError(f"no dialogue can be measured: {'; '.join(tokens.counts.left_out)}")
    return tokens


def measure_perplexity(
    model: RunnableModel,
    tokens: TokenSet,
    max_length: int,
    report: ReportDone = lambda done, total: None,
) -> Perplexity:
    """The perplexity of ``model`` on the answers in ``tokens``.

    Raises:
        TrainError: llama.cpp cannot load it.
    """
    total, count = 0.0, 0
    adapters = [AdapterUse(str(file)) for file in model.adapters]
    try:
        with BlockingEngine(project_paths(), warn) as engine:
            engine.load(ModelSpec(str(model.path), context=max_length, all_logits=True))
            for number, dialogue in enumerate(tokens.dialogues, 1):
                losses = engine.losses(list(dialogue.ids), adapters)
                masked = zip(losses, dialogue.trained[1:], strict=True)
                of_answers = [loss for loss, trained in masked if trained]
                total += float(sum(of_answers))
                count += len(of_answers)
                report(number, len(tokens.dialogues))
    except EngineFailure as error:
        raise TrainError(str(error)) from error
    return Perplexity(count, total / count, tokens.counts.cut)
