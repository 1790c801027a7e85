"""Learn from single answers that were marked as good or bad (KTO, arXiv 2402.01306)."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from baize_shared.trained_prompt import TrainedPrompt
from baize_train.errors import TrainError
from baize_train.feedback.marks import MarkedAnswer
from baize_train.tokens.chat_format import choose_chat_format
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.skip_reasons import UntrainableDialogue
from baize_train.tokens.token_sets import TokenCounts
from baize_train.tokens.vocabulary import open_vocabulary
from baize_train.training.processes import count_processes
from baize_train.training.progress import ReportStep
from baize_train.training.run import TrainingRun
from baize_train.training.run_manifest import RunManifest
from baize_train.training.second_lora import PreferenceTokens, describe, train_on_preferences
from baize_train.training.trainers import KtoWeights, make_kto_trainer


class KtoRun(Struct, frozen=True):
    """A LoRA that learns from marks, over the base or over ``adapter``. The marks take the place of
    ``run.data.dialogues``."""

    run: TrainingRun
    adapter: Path | None
    marks: list[MarkedAnswer]


def train_kto(kto: KtoRun, report: ReportStep = lambda *_: None) -> RunManifest:
    """Train on the marks of ``kto``; resumes as ``finetune`` does.

    Raises:
        TrainError: see ``finetune``; or there are not marks of both kinds.
    """
    run = kto.run
    at_once, _ = run.preset.split_batch(count_processes())
    if at_once < 2:
        raise TrainError(
            "marks are compared within --micro-batch: it has to be 2 or more, and to divide --batch"
        )
    tokens = _tokenize_marks(kto)
    manifest = describe(
        "kto",
        run,
        kto.adapter,
        tokens.steps(run),
        tokens.counts,
        {"compared_at_once": at_once},
        teachers=[],
    )
    make_trainer = partial(make_kto_trainer, weights=_balance(tokens.rows))
    return train_on_preferences(run, kto.adapter, tokens, manifest, make_trainer, report)


def _tokenize_marks(kto: KtoRun) -> PreferenceTokens:
    """Token ids of prompts and answers with their labels, in a random order.

    Raises:
        TrainError: there are no answers of one kind.
    """
    run, counts = kto.run, TokenCounts()
    answers: list[dict[str, Any]] = []
    with open_vocabulary(run.base, run.new_tokens) as model:
        format = choose_chat_format(model, run.format, run.system)
        tokenizer = DialogueTokenizer(model.vocabulary, format)
        for mark in kto.marks:
            try:
                prompt = tokenizer.question_ids(mark.question, run.preset.max_length)
                whole = tokenizer.judged_answer_ids(mark.answer)
            except UntrainableDialogue as error:
                counts.count_skipped(str(error))
                continue
            answer = whole[: run.preset.max_length - len(prompt)]
            counts.count_cut(len(whole) - len(answer))
            answers.append({"prompt_ids": prompt, "completion_ids": answer, "label": mark.good})
            counts.dialogues += 1
            counts.trained += len(answer)
            counts.ignored += len(prompt)
    if len({answer["label"] for answer in answers}) < 2:
        skipped = "".join(f"; {reason}" for reason in counts.left_out)
        raise TrainError(f"marks need good and bad answers, and there is only one kind{skipped}")
    # TRL's trainer takes the answers in their order, because it compares neighbours.
    random.Random(run.seed).shuffle(answers)
    return PreferenceTokens(answers, counts, TrainedPrompt(format.name, format.system))


def _balance(answers: list[dict[str, Any]]) -> KtoWeights:
    """Weights with which good and bad answers count the same, whatever their numbers (eq. 8)."""
    good = sum(answer["label"] for answer in answers)
    bad = len(answers) - good
    return KtoWeights(max(1.0, bad / good), max(1.0, good / bad))
