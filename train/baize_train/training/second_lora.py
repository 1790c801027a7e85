"""What training over a first LoRA, or with preferences instead of dialogues, has in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets

from baize_train.tokens.token_sets import TokenCounts
from baize_train.training.base_model import choose_device, load_base
from baize_train.training.checkpoints import WEIGHTS
from baize_train.training.fit import fit, plan_training
from baize_train.training.lora import add_lora, load_merged
from baize_train.training.memory import explain_memory_of_loading
from baize_train.training.preference_tokens import PreferenceTokens
from baize_train.training.progress import LossRecorder, ReportStep
from baize_train.training.reporting import prepare_reports
from baize_train.training.run import TrainingRun, claim_output, weight_settings
from baize_train.training.run_manifest import (
    RunKind,
    RunManifest,
    package_versions,
    sha256_digest,
)
from baize_train.training.trainers import BaizeTrainer, TrainerOptions

MakeTrainer = Callable[[Any, TrainerOptions, datasets.Dataset, LossRecorder], BaizeTrainer]


def train_on_preferences(
    run: TrainingRun,
    adapter: Path | None,
    tokens: PreferenceTokens,
    manifest: RunManifest,
    make_trainer: MakeTrainer,
    report: ReportStep,
) -> RunManifest:
    """Train a LoRA over the base or over ``adapter``; resumes as ``finetune`` does.

    Raises:
        TrainError: see ``finetune``.
    """
    with claim_output(manifest, run.output) as finished:
        if finished is not None:
            return finished
        model = load_with_lora(run, adapter)
        recorder = LossRecorder(report)
        options = plan_training(model, run, manifest, tokens.steps(run), tokens.prompt)
        trainer = make_trainer(model, options, datasets.Dataset.from_list(tokens.rows), recorder)
        per_row = (tokens.counts.trained + tokens.counts.ignored) / len(tokens.rows)
        return fit(trainer, run, options, manifest, recorder, per_row)


def load_with_lora(run: TrainingRun, adapter: Path | None) -> Any:
    """A new LoRA over the frozen base of ``run``, with ``adapter`` in it.

    Raises:
        TrainError: see ``load_base``, ``load_merged`` and ``prepare_reports``.
    """
    prepare_reports(run.report_to, run.output)
    with explain_memory_of_loading(run.preset):
        if adapter is None:
            base = load_base(run.base, run.quantization, run.kernels)
        else:
            base = load_merged(run, adapter)
        return add_lora(base, run)


def describe(
    kind: RunKind,
    run: TrainingRun,
    adapter: Path | None,
    steps: int,
    counts: TokenCounts,
    settings: dict[str, Any],
    teachers: list[str],
) -> RunManifest:
    """The manifest before training starts; ``settings`` are those of this kind of run alone."""
    first = {}
    if adapter is not None:
        first = {"adapter": str(adapter), "adapter_sha256": sha256_digest(adapter / WEIGHTS)}
    return RunManifest(
        kind=kind,
        base=str(run.base),
        base_sha256=sha256_digest(run.base),
        settings={**weight_settings(run, steps), **first, **settings},
        data=run.data.files,
        held_out=[],
        teachers=teachers,
        tokens=counts,
        held_out_tokens=TokenCounts(),
        versions=package_versions(),
        device=choose_device(),
    )
