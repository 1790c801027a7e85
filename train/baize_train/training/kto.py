"""Learn from single answers that were marked as good or bad (KTO, arXiv 2402.01306)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from baize_train.feedback.marks import MarkedAnswer
from baize_train.training.preference_tokens import marks_at_once, tokenize_marks
from baize_train.training.progress import ReportStep
from baize_train.training.run import TrainingRun
from baize_train.training.run_manifest import RunManifest
from baize_train.training.second_lora import describe, train_on_preferences
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
    tokens = tokenize_marks(run, kto.marks)
    manifest = describe(
        "kto",
        run,
        kto.adapter,
        tokens.steps(run),
        tokens.counts,
        {"compared_at_once": marks_at_once(run)},
        teachers=[],
    )
    make_trainer = partial(make_kto_trainer, weights=_balance(tokens.rows))
    return train_on_preferences(run, kto.adapter, tokens, manifest, make_trainer, report)


def _balance(answers: list[dict[str, Any]]) -> KtoWeights:
    """Weights with which good and bad answers count the same, whatever their numbers (eq. 8)."""
    good = sum(answer["label"] for answer in answers)
    bad = len(answers) - good
    return KtoWeights(max(1.0, bad / good), max(1.0, good / bad))
