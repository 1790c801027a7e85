"""TRL's trainers, with what a person wants to know of a run and what has to stop it.

The only module that imports PyTorch at its top; commands import it when they train.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from safetensors import SafetensorError
from transformers import (
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from baize_train.errors import TrainError
from baize_train.training.checkpoints import CHECKPOINTS
from baize_train.training.presets import Preset
from baize_train.training.run_manifest import LossPoint

_NOT_WRITTEN = re.compile(r"I/O error: (.*)|inline_container|PytorchStreamWriter")
_CPU_OUT_OF_MEMORY = re.compile("not enough memory|can't allocate memory|[Cc]annot allocate memory")


class Steps(Struct, frozen=True):
    """How a run goes, beside its preset."""

    count: int
    learning_rate: float
    seed: int
    save_every: int
    device: str
    checkpointing: bool = False
    """Activations are computed again instead of kept: slower, in less memory."""


class LossNotFinite(Exception):
    """The loss is no number any more; the weights are those from before."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


class Progress(Struct, frozen=True):
    """One step of a run, done."""

    step: int
    of: int
    seconds: float


Report = Callable[[Progress, list[LossPoint]], object]


class _Watch(TrainerCallback):  # type: ignore[misc]
    """Hears of steps and losses; times them."""

    def __init__(self, report: Report) -> None:
        self.losses: list[LossPoint] = []
        self._report = report
        self._began = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._began = time.monotonic()
        # A run that goes on has those of before it.
        self.losses = [point for row in state.log_history if (point := _point_of(row)) is not None]

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        point = _point_of({**(logs or {}), "step": state.global_step})
        if point is not None:
            self.losses.append(point)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            seconds = time.monotonic() - self._began
            self._report(Progress(state.global_step, state.max_steps, seconds), self.losses)


def _point_of(row: dict[str, Any]) -> LossPoint | None:
    if "eval_loss" in row:
        return LossPoint(row["step"], float(row["eval_loss"]), held_out=True)
    if "loss" in row:
        return LossPoint(row["step"], float(row["loss"]), learning_rate=row.get("learning_rate"))
    return None


class _Stopping:
    """A step whose loss is no number ends the run before it reaches the weights."""

    def training_step(self, *arguments: Any, **named: Any) -> Any:
        loss = super().training_step(*arguments, **named)  # type: ignore[misc]
        if not torch.isfinite(loss).all():
            raise LossNotFinite(self.state.global_step + 1)  # type: ignore[attr-defined]
        return loss


class BaizeSftTrainer(_Stopping, SFTTrainer):  # type: ignore[misc]
    pass


class BaizeDpoTrainer(_Stopping, DPOTrainer):  # type: ignore[misc]
    """DPO over prompts and answers that are ids already, and so those of the chat."""

    def _prepare_dataset(self, dataset: Any, *_arguments: Any, **_named: Any) -> Any:
        return dataset


def supervised(
    model: Any,
    preset: Preset,
    steps: Steps,
    folder: Path,
    data: tuple[Any, Any | None],
    report: Report,
) -> tuple[BaizeSftTrainer, _Watch]:
    """A trainer over ``data``, two datasets of ids and labels: to train on and held out."""
    train, held_out = data
    watch = _Watch(report)
    trainer = BaizeSftTrainer(
        model=model,
        args=SFTConfig(
            **_arguments(preset, steps, folder, evaluates=held_out is not None),
            max_length=preset.max_length,
            packing=preset.packing,
            eval_packing=False,
        ),
        train_dataset=train,
        eval_dataset=held_out,
        processing_class=_only_ids(model),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer, watch


def preferring(
    model: Any,
    preset: Preset,
    steps: Steps,
    folder: Path,
    data: Any,
    report: Report,
    beta: float,
) -> tuple[BaizeDpoTrainer, _Watch]:
    """A DPO trainer over ``data``: ids of prompts, of better and of worse answers."""
    watch = _Watch(report)
    trainer = BaizeDpoTrainer(
        model=model,
        args=DPOConfig(
            **_arguments(preset, steps, folder, evaluates=False),
            max_length=preset.max_length,
            beta=beta,
        ),
        train_dataset=data,
        processing_class=_only_ids(model),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer, watch


def _arguments(preset: Preset, steps: Steps, folder: Path, *, evaluates: bool) -> dict[str, Any]:
    world = TrainingArguments(output_dir=str(folder), use_cpu=steps.device == "cpu").world_size
    micro = min(preset.micro_batch, max(1, preset.batch // world))
    on_gpu = steps.device == "cuda"
    return {
        "output_dir": str(folder / CHECKPOINTS),
        "max_steps": steps.count,
        "per_device_train_batch_size": micro,
        "per_device_eval_batch_size": micro,
        "gradient_accumulation_steps": max(1, preset.batch // (micro * world)),
        "learning_rate": steps.learning_rate,
        "lr_scheduler_type": preset.schedule,
        "warmup_steps": preset.warmup_of(steps.count),
        "weight_decay": 0.0,
        "bf16": on_gpu and torch.cuda.is_bf16_supported(),
        "fp16": on_gpu and not torch.cuda.is_bf16_supported(),
        "use_cpu": steps.device == "cpu",
        "gradient_checkpointing": steps.checkpointing,
        "seed": steps.seed,
        "data_seed": steps.seed,
        "logging_steps": max(1, steps.count // 100),
        "logging_nan_inf_filter": False,
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": max(1, steps.count // 5),
        "eval_on_start": evaluates,
        "save_strategy": "steps",
        "save_steps": steps.save_every,
        "save_total_limit": 2,
        "disable_tqdm": True,
        "report_to": [],
        "dataloader_pin_memory": on_gpu,
    }


def _only_ids(model: Any) -> PreTrainedTokenizerFast:
    """TRL asks a tokenizer which id fills up a batch; text never comes to it."""
    from tokenizers import Tokenizer, models

    padding = "<pad>"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({padding: 0}, padding)),
        pad_token=padding,
        eos_token=padding,
    )
    # What is filled up has no label and is not attended to: any id will do.
    assert model.config.vocab_size > 0
    return tokenizer


@contextmanager
def out_of_memory_told(preset: Preset, steps: Steps, trainer: Any) -> Iterator[None]:
    """Name the knob to turn where a step takes more memory than there is.

    Raises:
        TrainError: it does.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # On a processor PyTorch raises a plain RuntimeError.
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and not (
            _CPU_OUT_OF_MEMORY.search(str(error))
        ):
            raise
        knobs = []
        if preset.micro_batch > 1:
            knobs.append(f"--micro-batch {math.ceil(preset.micro_batch / 2)}")
        if not steps.checkpointing:
            knobs.append("--checkpointing")
        knobs.append(f"--max-length {max(64, preset.max_length // 2)}")
        if steps.device == "cuda":
            knobs.append("--quantize 4bit")
        raise TrainError(
            f"out of memory at step {trainer.state.global_step + 1}: try {', or '.join(knobs)}; "
            "checkpoints are kept"
        ) from error


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Say so where a checkpoint cannot be written.

    Raises:
        TrainError: it cannot.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        # Weights are written by safetensors, the optimizer by PyTorch, each with errors of its own.
        found = _NOT_WRITTEN.search(str(error))
        if not isinstance(error, OSError) and found is None:
            raise
        why = error.strerror if isinstance(error, OSError) else None
        why = why or (found and found[1]) or "no room is left"
        raise TrainError(
            f"{folder} cannot be written: {why}; make room, and the same command goes on at the "
            "last checkpoint"
        ) from error


def peak_memory(device: str) -> int:
    """Bytes at the most so far: of the GPU, or of this process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
