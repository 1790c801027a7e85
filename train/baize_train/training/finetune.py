"""A LoRA over a frozen base: from dialogues to an adapter that PEFT and baize-convert read."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from baize_train.corpus.dialogues import Dialogue
from baize_train.errors import TrainError
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.token_sets import TokenSet, tokenize
from baize_train.tokens.vocabulary import chat_format, open_vocabulary
from baize_train.training.base_model import Quantization, count_parameters, device, load_base
from baize_train.training.checkpoints import CHECKPOINTS, WEIGHTS, last_checkpoint
from baize_train.training.loss_curve import curve_as_picture
from baize_train.training.presets import Preset
from baize_train.training.processes import is_main_process
from baize_train.training.run_manifest import (
    DataFile,
    LossPoint,
    RunManifest,
    read_manifest,
    sha256_of,
    versions,
    write_manifest,
)

if TYPE_CHECKING:
    from baize_train.training.trainers import Progress, Steps

PICTURE = "loss.png"


class Corpus(Struct, frozen=True):
    """Dialogues and the files they are from."""

    dialogues: list[Dialogue]
    files: list[DataFile]

    @property
    def teachers(self) -> list[str]:
        found = (str(one.meta["teacher"]) for one in self.dialogues if "teacher" in one.meta)
        return list(dict.fromkeys(found))


class Run(Struct, frozen=True):
    """What a fine-tuning is asked for."""

    base: Path
    corpus: Corpus
    held_out: Corpus
    output: Path
    preset_name: str
    preset: Preset
    format: str | None = None
    system: str | None = None
    steps: int | None = None
    """None goes as far as the preset's epochs do."""
    seed: int = 0
    quantization: Quantization = "none"
    checkpointing: bool = False
    save_every: int | None = None


Report = Callable[["Progress", list[LossPoint]], object]


def token_sets(run: Run) -> tuple[TokenSet, TokenSet]:
    """The tokens to train on and those held out.

    Raises:
        TrainError: nothing is left to train on, or the base has no vocabulary or template.
    """
    with open_vocabulary(run.base) as model:
        format = chat_format(model, run.format, run.system)
        tokenizer = DialogueTokenizer(model.vocabulary, format, run.preset.loss)
        train = tokenize(run.corpus.dialogues, tokenizer, run.preset.max_length)
        held_out = tokenize(run.held_out.dialogues, tokenizer, run.preset.max_length)
    if not train.dialogues:
        reasons = "; ".join(train.counts.left_out) or "there are none"
        raise TrainError(f"no dialogue can be trained on: {reasons}")
    return train, held_out


def steps_of(run: Run, train: TokenSet) -> int:
    """Steps of the whole run."""
    sequences = _sequences_of(run, train)
    return run.steps or max(1, math.ceil(sequences * run.preset.epochs / run.preset.batch))


def _sequences_of(run: Run, train: TokenSet) -> int:
    """Rows that are trained on; packed, they are about as long as they may be."""
    if not run.preset.packing:
        return len(train.dialogues)
    tokens = train.counts.trained + train.counts.ignored
    return math.ceil(tokens / run.preset.max_length)


def finetune(run: Run, report: Report = lambda *_: None) -> RunManifest:
    """Train; broken off, the same call goes on at the last checkpoint.

    Raises:
        TrainError: the base or the data is of no use, memory or disk is short, the loss is no
            number any more, or another run lies in the output folder. Checkpoints are kept.
    """
    train, held_out = token_sets(run)
    count = steps_of(run, train)
    manifest = RunManifest(
        kind="finetune",
        base=str(run.base),
        base_sha256=sha256_of(run.base),
        settings=settings_of(run, count),
        data=run.corpus.files,
        held_out=run.held_out.files,
        teachers=run.corpus.teachers,
        tokens=train.counts,
        held_out_tokens=held_out.counts,
        versions=versions(),
        device=device(),
    )
    if (done := begin(manifest, run.output)) is not None:
        return done
    model = with_lora(load_base(run.base, run.quantization), run)
    return train_supervised(model, run, manifest, (train, held_out), count, report)


def settings_of(run: Run, steps: int) -> dict[str, Any]:
    """All that has a part in the weights. How many sequences a device takes at once has none, so
    that a run that was short of memory goes on with fewer."""
    preset: dict[str, Any] = msgspec.to_builtins(run.preset)
    del preset["micro_batch"]
    return {
        "preset": run.preset_name,
        **preset,
        "format": run.format,
        "system": run.system,
        "steps": steps,
        "seed": run.seed,
        "quantization": run.quantization,
        "held_out_dialogues": len(run.held_out.dialogues),
    }


def begin(manifest: RunManifest, output: Path) -> RunManifest | None:
    """Claim the folder for this run; the manifest of one that is done, where it is there already.

    Raises:
        TrainError: another run lies there.
    """
    before = read_manifest(output)
    if before is not None and before.begins_as(manifest):
        return before if before.finished else None
    has_weights = (output / WEIGHTS).exists() or last_checkpoint(output / CHECKPOINTS) is not None
    if before is not None and has_weights:
        raise TrainError(
            f"{output} holds a run with other data or settings: choose another folder, "
            "or remove that one"
        )
    if is_main_process():
        write_manifest(manifest, output)
    return None


def with_lora(model: Any, run: Run) -> Any:
    """``model`` with a new LoRA of the preset over it; B is zero, so nothing changes yet.

    Raises:
        TrainError: the base has no module of these names.
    """
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    preset = run.preset
    if run.quantization != "none":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=run.checkpointing)
    torch.manual_seed(run.seed)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=preset.rank,
        lora_alpha=preset.alpha,
        lora_dropout=preset.dropout,
        target_modules=list(preset.modules),
        base_model_name_or_path=str(run.base),
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        names = ", ".join(preset.modules)
        raise TrainError(f"{run.base} has not the modules {names}: {error}") from error


def train_supervised(
    model: Any,
    run: Run,
    manifest: RunManifest,
    sets: tuple[TokenSet, TokenSet],
    count: int,
    report: Report,
) -> RunManifest:
    """Train ``model`` on ``sets``, and write adapter, manifest and curve into the output folder.

    Raises:
        TrainError: see ``finetune``.
    """
    from baize_train.training.trainers import supervised

    steps = measured(model, run, manifest, count)
    train, held_out = sets
    data = (train.dataset(), held_out.dataset() if held_out.dialogues else None)
    trainer, watch = supervised(model, run.preset, steps, run.output, data, report)
    tokens = (train.counts.trained + train.counts.ignored) / _sequences_of(run, train)
    return complete(trainer, watch, run, manifest, steps, tokens)


def measured(model: Any, run: Run, manifest: RunManifest, count: int) -> Steps:
    """How ``count`` steps of ``model`` go; what it is made of is noted in ``manifest``."""
    from baize_train.training.trainers import Steps

    manifest.parameters = count_parameters(model)
    manifest.trainable = count_parameters(model, trainable=True)
    return Steps(
        count=count,
        learning_rate=run.preset.rate_for(manifest.parameters - manifest.trainable),
        seed=run.seed,
        save_every=run.save_every or max(1, min(200, count // 5)),
        device=manifest.device,
        checkpointing=run.checkpointing,
    )


def complete(
    trainer: Any, watch: Any, run: Run, manifest: RunManifest, steps: Any, tokens_a_sequence: float
) -> RunManifest:
    """Run ``trainer`` to its end and write what came of it.

    Raises:
        TrainError: memory or disk is short, or the loss is no number any more.
    """
    from baize_train.training.trainers import (
        LossNotFinite,
        full_disk_told,
        out_of_memory_told,
        peak_memory,
    )

    checkpoint = last_checkpoint(run.output / CHECKPOINTS)
    first = int(checkpoint.name.rpartition("-")[2]) if checkpoint is not None else 0
    began = time.monotonic()
    try:
        with full_disk_told(run.output), out_of_memory_told(run.preset, steps, trainer):
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
            if trainer.is_world_process_zero():
                trainer.model.save_pretrained(run.output)
    except LossNotFinite as error:
        kept = last_checkpoint(run.output / CHECKPOINTS)
        raise TrainError(
            f"the loss is no number at step {error.step}: lower --learning-rate (now "
            f"{steps.learning_rate:g}). "
            + (f"The last good weights are in {kept}" if kept else "Nothing was saved yet")
        ) from error
    manifest.seconds += round(time.monotonic() - began, 1)
    manifest.steps = trainer.state.global_step
    manifest.losses = watch.losses
    manifest.peak_memory = peak_memory(manifest.device)
    done = (manifest.steps - first) * run.preset.batch * tokens_a_sequence
    manifest.tokens_per_second = round(done / manifest.seconds, 1) if manifest.seconds else 0.0
    manifest.finished = True
    if trainer.is_world_process_zero():
        curve_as_picture(manifest.losses, run.output / PICTURE)
        write_manifest(manifest, run.output)
        shutil.rmtree(run.output / CHECKPOINTS, ignore_errors=True)
    return manifest


def read_corpus_files(files: Sequence[tuple[Path, list[Dialogue]]]) -> Corpus:
    """A corpus of ``files`` with what was read from each."""
    return Corpus(
        [dialogue for _, found in files for dialogue in found],
        [DataFile(str(file), sha256_of(file), len(found)) for file, found in files],
    )
