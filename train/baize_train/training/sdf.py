"""Self-distillation with feedback (paper, section 3.3): train a second LoRA over a frozen first.

``h = W x + B_sft A_sft x + B_sdf A_sdf x``. The first LoRA is merged into the weights in memory,
which gives the same outputs and makes that model the reference of DPO. Only the second is trained
and saved.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_train.feedback.preferences import Method, Preference
from baize_train.tokens.token_sets import TokenCounts
from baize_train.training.fit import fit_supervised
from baize_train.training.preference_tokens import tokenize_pairs
from baize_train.training.progress import ReportStep
from baize_train.training.run import (
    TrainingData,
    TrainingRun,
    claim_output,
    count_steps,
    tokenize_data,
)
from baize_train.training.run_manifest import RunManifest
from baize_train.training.second_lora import (
    describe,
    load_with_lora,
    train_on_preferences,
)
from baize_train.training.trainers import DpoWeights, make_dpo_trainer

DPO_WEIGHTS = DpoWeights(beta=0.1, answer_weight=1.0)
"""DPO alone makes the worse answer unlikely, and often the better one too: three corrected facts
became texts that nobody wrote (``benchmarks/training_works.py``). With the likelihood of the better
answer, it is learned. Source: Pang et al., Iterative Reasoning Preference Optimization, 2024."""


class SdfRun(Struct, frozen=True):
    """A second LoRA over ``adapter``. The preferences take the place of ``run.data.dialogues``."""

    run: TrainingRun
    adapter: Path | None
    """None trains over the base itself."""
    method: Method
    preferences: list[Preference]
    least_margin: float
    """For DPO: points by which the best answer must be ahead of the worst."""
    feedback: dict[str, Any]
    """Who judged and how, for the manifest."""
    teachers: list[str] = []
    """Who wrote the answers, if they are not the model's own."""


def train_sdf(sdf: SdfRun, report: ReportStep = lambda *_: None) -> RunManifest:
    """Train on the best answers, or with DPO on the best against the worst.

    Raises:
        TrainError: see ``finetune``; or no preference is left.
    """
    return _train_dpo(sdf, report) if sdf.method == "dpo" else _train_best(sdf, report)


def _train_best(sdf: SdfRun, report: ReportStep) -> RunManifest:
    best = [preference.best_dialogue() for preference in sdf.preferences]
    run = msgspec.structs.replace(sdf.run, data=TrainingData(best, sdf.run.data.files))
    data = tokenize_data(run)
    steps = count_steps(run, data.train)
    manifest = _describe(sdf, steps, data.train.counts)
    with claim_output(manifest, run.output) as finished:
        if finished is not None:
            return finished
        model = load_with_lora(run, sdf.adapter)
        return fit_supervised(model, run, manifest, data, steps, report)


def _train_dpo(sdf: SdfRun, report: ReportStep) -> RunManifest:
    run = sdf.run
    tokens = tokenize_pairs(run, sdf.preferences, sdf.least_margin)
    manifest = _describe(sdf, tokens.steps(run), tokens.counts)
    make_trainer = partial(make_dpo_trainer, weights=DPO_WEIGHTS)
    return train_on_preferences(run, sdf.adapter, tokens, manifest, make_trainer, report)


def _describe(sdf: SdfRun, steps: int, counts: TokenCounts) -> RunManifest:
    weights = DPO_WEIGHTS._asdict() if sdf.method == "dpo" else {}
    return describe(
        "dpo" if sdf.method == "dpo" else "sdf",
        sdf.run,
        sdf.adapter,
        steps,
        counts,
        {"least_margin": sdf.least_margin, **weights, **sdf.feedback},
        teachers=[
            *sdf.teachers,
            *([str(sdf.feedback["judge"])] if "judge" in sdf.feedback else []),
        ],
    )
