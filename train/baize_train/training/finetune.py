"""Fine-tune: from dialogues to a LoRA that PEFT and baize-convert read, or to a whole model."""

from __future__ import annotations

from typing import Any

from baize_train.corpus.dialogues import teachers
from baize_train.training.base_model import choose_device, load_base
from baize_train.training.fit import fit_supervised
from baize_train.training.lora import add_lora, continue_lora
from baize_train.training.memory import explain_memory_of_loading, require_memory
from baize_train.training.progress import ReportStep
from baize_train.training.reporting import prepare_reports
from baize_train.training.run import (
    TokenizedData,
    TrainingRun,
    claim_output,
    count_steps,
    tokenize_data,
    weight_settings,
)
from baize_train.training.run_manifest import RunManifest, package_versions, sha256_digest
from baize_train.training.samples import ReportSample
from baize_train.training.token_rows import add_token_rows


def finetune(
    run: TrainingRun,
    report: ReportStep = lambda *_: None,
    report_sample: ReportSample = lambda _: None,
) -> RunManifest:
    """Train a LoRA, or all weights, on the dialogues of ``run``. An interrupted run resumes from
    its last checkpoint, a finished one returns its manifest.

    Raises:
        TrainError: the base or the data cannot be used, memory or disk space is short, the loss is
            NaN or infinite, or the output folder contains another run. Checkpoints are kept.
    """
    data = tokenize_data(run)
    steps = count_steps(run, data.train)
    manifest = describe(run, data, steps)
    with claim_output(manifest, run.output) as finished:
        if finished is not None:
            return finished
        prepare_reports(run.report_to, run.output)
        require_memory(run, data)
        with explain_memory_of_loading(run.preset):
            model = _load_model(run)
        return fit_supervised(model, run, manifest, data, steps, report, report_sample)


def _load_model(run: TrainingRun) -> Any:
    """The model with what is trained of it."""
    model = load_base(run.base, run.quantization, run.kernels, full=run.preset.full)
    add_token_rows(model, run)
    if run.preset.full:
        return model.requires_grad_(True)
    return add_lora(model, run) if run.adapter is None else continue_lora(model, run, run.adapter)


def describe(run: TrainingRun, data: TokenizedData, steps: int) -> RunManifest:
    """The manifest of ``run`` before it starts."""
    return RunManifest(
        kind="finetune",
        base=str(run.base),
        base_sha256=sha256_digest(run.base),
        settings=weight_settings(run, steps),
        data=run.data.files,
        held_out=run.held_out.files,
        teachers=teachers(run.data.dialogues),
        tokens=data.train.counts,
        held_out_tokens=data.held_out.counts,
        versions=package_versions(),
        device=choose_device(),
    )
