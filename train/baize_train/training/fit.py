"""Run a trainer to its end and write its results."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from transformers import TrainerState

from baize_shared.interruption import note_kept_work
from baize_shared.trained_prompt import TrainedPrompt
from baize_train.errors import TrainError
from baize_train.training.adapter_card import write_model_card
from baize_train.training.base_model import choose_device, count_parameters
from baize_train.training.checkpoints import (
    CHECKPOINTS,
    TRAINER_STATE,
    checkpoint_of,
    checkpoint_step,
    is_end_of_run,
    last_checkpoint,
)
from baize_train.training.loss_curve import save_loss_curve
from baize_train.training.memory import explain_out_of_memory, peak_memory
from baize_train.training.progress import LossRecorder, ReportStep
from baize_train.training.results import load_results, save_results
from baize_train.training.run import TokenizedData, TrainingRun, count_sequences
from baize_train.training.run_manifest import RunManifest, write_manifest
from baize_train.training.samples import ReportSample, record_samples
from baize_train.training.trainers import (
    BaizeTrainer,
    LossNotFinite,
    TrainerOptions,
    explain_write_errors,
    make_sft_trainer,
)

LOSS_PICTURE = "loss.png"


def fit_supervised(
    model: Any,
    run: TrainingRun,
    manifest: RunManifest,
    data: TokenizedData,
    steps: int,
    report: ReportStep,
    report_sample: ReportSample = lambda _: None,
) -> RunManifest:
    """Train ``model`` on ``data`` and validate it on the held-out part a few times on the way.

    Raises:
        TrainError: see ``fit``.
    """
    recorder = LossRecorder(report)
    options = plan_training(model, run, manifest, steps, data.prompt)
    held_out = data.held_out.dataset() if data.held_out.dialogues else None
    trainer = make_sft_trainer(model, options, data.train.dataset(), held_out, recorder)
    counts = data.train.counts
    tokens_per_sequence = (counts.trained + counts.ignored) / count_sequences(run, data.train)
    with record_samples(run, report_sample) as callbacks:
        for callback in callbacks:
            trainer.add_callback(callback)
        return fit(trainer, run, options, manifest, recorder, tokens_per_sequence)


def plan_training(
    model: Any, run: TrainingRun, manifest: RunManifest, steps: int, prompt: TrainedPrompt
) -> TrainerOptions:
    """How to train ``model``; its numbers of parameters are added to ``manifest``."""
    manifest.parameters = count_parameters(model)
    manifest.trainable = count_parameters(model, trainable=True)
    added = 0 if run.preset.full else manifest.trainable
    return TrainerOptions(
        preset=run.preset,
        prompt=prompt,
        folder=run.output,
        steps=steps,
        learning_rate=run.preset.choose_learning_rate(manifest.parameters - added),
        seed=run.seed,
        save_every=run.save_every or max(1, min(200, steps // 5)),
        device=choose_device(),
        eval_every=run.evaluations.interval(steps),
        keep_best=run.evaluations.keep_best,
        patience=run.evaluations.patience,
        liger=run.kernels.liger,
        report_to=run.report_to,
        checkpointing=run.checkpointing,
    )


def fit(
    trainer: BaizeTrainer,
    run: TrainingRun,
    options: TrainerOptions,
    manifest: RunManifest,
    recorder: LossRecorder,
    tokens_per_sequence: float,
) -> RunManifest:
    """Train from the last checkpoint to the end; write weights, manifest and loss curve.

    Raises:
        TrainError: memory or disk space is short, or the loss is NaN or infinite. Checkpoints are
            kept.
    """
    checkpoint = last_checkpoint(options.folder / CHECKPOINTS)
    first = 0
    if checkpoint is not None:
        first = checkpoint_step(checkpoint)
        note_kept_work()
        trainer.args.eval_on_start = False  # that was before the checkpoint
    started = time.monotonic()
    if checkpoint is not None and is_end_of_run(checkpoint):
        _take_over(trainer, recorder, checkpoint)
    else:
        _train(trainer, options, checkpoint)
    if trainer.is_world_process_zero():
        with explain_write_errors(options.folder):
            save_results(trainer.model, run, options.prompt)
    manifest.seconds += round(time.monotonic() - started, 1)
    manifest.steps = trainer.state.global_step
    manifest.best_step = trainer.state.best_global_step
    manifest.losses = recorder.losses
    manifest.peak_memory = peak_memory(manifest.device)
    tokens = (manifest.steps - first) * options.preset.batch * tokens_per_sequence
    manifest.tokens_per_second = round(tokens / manifest.seconds, 1) if manifest.seconds else 0.0
    manifest.finished = True
    if trainer.is_world_process_zero():
        save_loss_curve(manifest.losses, options.folder / LOSS_PICTURE)
        write_manifest(manifest, options.folder)
        write_model_card(manifest, options.folder)
        shutil.rmtree(options.folder / CHECKPOINTS, ignore_errors=True)
    return manifest


def _take_over(trainer: BaizeTrainer, recorder: LossRecorder, checkpoint: Path) -> None:
    """Give ``trainer`` the results of a run that was interrupted after its last step. transformers
    would train one step more."""
    trainer.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE))
    recorder.recall(trainer.state)
    step = trainer.state.best_global_step or trainer.state.global_step
    load_results(trainer.model, checkpoint_of(checkpoint.parent, step))


def _train(trainer: BaizeTrainer, options: TrainerOptions, checkpoint: Path | None) -> None:
    try:
        with explain_out_of_memory(trainer, options.preset, checkpointing=options.checkpointing):
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except LossNotFinite as error:
        if error.step == 1:  # nothing was learned yet
            raise TrainError(
                "the loss is NaN or infinite before the first step: so are weights of the base or "
                "the adapter; download or save them again"
            ) from error
        kept = last_checkpoint(options.folder / CHECKPOINTS)
        saved = f"The last good weights are in {kept}" if kept else "Nothing was saved yet"
        raise TrainError(
            f"the loss is NaN or infinite at step {error.step}: lower --learning-rate (now "
            f"{options.learning_rate:g}). {saved}"
        ) from error
