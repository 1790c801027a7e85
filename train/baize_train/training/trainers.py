"""TRL's trainers, guarded: they stop at a loss that is NaN or infinite, and explain a full disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from datasets import Dataset
from msgspec import Struct
from safetensors import SafetensorError
from tokenizers import Tokenizer, models
from transformers import (
    EarlyStoppingCallback,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainingArguments,
)
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

from baize_shared.trained_prompt import TrainedPrompt
from baize_train.errors import TrainError
from baize_train.training.base_model import Device
from baize_train.training.checkpoints import CHECKPOINTS
from baize_train.training.memory import is_out_of_memory
from baize_train.training.presets import Preset
from baize_train.training.progress import LossRecorder, SaveEvery
from baize_train.training.reporting import ReportTarget


class TrainerOptions(Struct, frozen=True):
    """How a trainer runs."""

    preset: Preset
    prompt: TrainedPrompt
    """How the dialogues are prompted; it is kept with the adapter."""
    folder: Path
    """Of the run."""
    steps: int
    learning_rate: float
    seed: int
    save_every: int
    """Steps between checkpoints."""
    device: Device
    eval_every: int
    """Steps between evaluations."""
    keep_best: bool = False
    """Keep the weights with the lowest held-out loss instead of the last ones."""
    patience: int | None = None
    """Stop after so many evaluations without a lower loss."""
    liger: bool = False
    """Use Liger's kernels."""
    report_to: ReportTarget | None = None
    checkpointing: bool = False
    """Recompute activations instead of keeping them: slower, in less memory."""


class LossNotFinite(Exception):
    """The loss is NaN or infinite; the weights are those of the step before."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


@contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """Say what to do if weights or a checkpoint cannot be written.

    Raises:
        TrainError: they cannot.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        # PyTorch raises a plain RuntimeError both for a full disk and for a lack of memory.
        if is_out_of_memory(error):
            raise
        problem = str(error)
        if isinstance(error, OSError):
            problem = error.strerror or problem
        elif isinstance(error, RuntimeError):
            problem = "the disk seems to be full"
        raise TrainError(
            f"{folder} cannot be written: {problem}; free some space, then run the same command to "
            "resume from the last checkpoint"
        ) from error


class _GuardedTrainer:
    """What all trainers add to TRL's."""

    def training_step(self, *arguments: Any, **named: Any) -> Any:
        loss = super().training_step(*arguments, **named)  # type: ignore[misc]
        if not torch.isfinite(loss).all():
            raise LossNotFinite(self.state.global_step + 1)  # type: ignore[attr-defined]
        return loss

    def _save_checkpoint(self, *arguments: Any, **named: Any) -> None:
        folder = Path(self.args.output_dir).parent  # type: ignore[attr-defined]
        with explain_write_errors(folder):
            super()._save_checkpoint(*arguments, **named)  # type: ignore[misc]

    def create_model_card(self, *_arguments: Any, **_named: Any) -> None:
        """No card of TRL's lies beside the checkpoints; the result gets one of its own."""


class BaizeSftTrainer(_GuardedTrainer, SFTTrainer):  # type: ignore[misc]
    """Supervised fine-tuning on token ids and labels."""


class BaizeDpoTrainer(_GuardedTrainer, DPOTrainer):  # type: ignore[misc]
    """DPO on prompts and answers that are token ids already, as the chat client sends them."""

    def _prepare_dataset(self, dataset: Any, *_arguments: Any, **_named: Any) -> Any:
        return dataset


class BaizeKtoTrainer(_GuardedTrainer, KTOTrainer):  # type: ignore[misc]
    """KTO on prompts and answers that are token ids already, as the chat client sends them."""

    def _prepare_dataset(
        self, dataset: Any, _processing_class: Any, args: KTOConfig, *_arguments: Any, **_named: Any
    ) -> Any:
        """``dataset`` with each prompt's mismatched answer, that of its neighbour in the batch.

        KTO estimates from it how far the model has moved. TRL does this after its tokenization.
        """
        rows = dataset.to_list()
        size = args.per_device_train_batch_size
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            for row, neighbour in zip(batch, [batch[-1], *batch[:-1]], strict=True):
                row["KL_completion_ids"] = neighbour["completion_ids"]
        return Dataset.from_list(rows)


class DpoWeights(NamedTuple):
    """How strongly DPO keeps the model close to its reference, and how much the likelihood of the
    better answer counts beside it."""

    beta: float
    answer_weight: float


class KtoWeights(NamedTuple):
    """How much the loss of an answer of each kind counts."""

    good: float
    bad: float


BaizeTrainer = BaizeSftTrainer | BaizeDpoTrainer | BaizeKtoTrainer
PreferenceTrainer = TypeVar("PreferenceTrainer", BaizeDpoTrainer, BaizeKtoTrainer)


def make_sft_trainer(
    model: Any, options: TrainerOptions, data: Any, held_out: Any | None, recorder: LossRecorder
) -> BaizeSftTrainer:
    """A trainer on datasets with the columns ``input_ids`` and ``labels``."""
    trainer = BaizeSftTrainer(
        model=model,
        args=SFTConfig(
            **_arguments(options, evaluate=held_out is not None),
            max_length=options.preset.max_length,
            packing=options.preset.packing,
            eval_packing=False,
        ),
        train_dataset=data,
        eval_dataset=held_out,
        processing_class=_padding_tokenizer(),
        callbacks=[recorder],
    )
    trainer.remove_callback(PrinterCallback)
    if options.keep_best:
        trainer.add_callback(SaveEvery(options.save_every))
    if options.patience is not None:
        trainer.add_callback(EarlyStoppingCallback(options.patience))
    return trainer


def make_dpo_trainer(
    model: Any,
    options: TrainerOptions,
    data: Dataset,
    recorder: LossRecorder,
    *,
    weights: DpoWeights,
) -> BaizeDpoTrainer:
    """A trainer on a dataset with the columns ``prompt_ids``, ``chosen_ids``, ``rejected_ids``."""
    arguments = DPOConfig(
        **_preference_arguments(options),
        beta=weights.beta,
        loss_type=["sigmoid", "sft"],
        loss_weights=[1.0, weights.answer_weight],
    )
    return _preference_trainer(BaizeDpoTrainer, model, arguments, data, recorder)


def make_kto_trainer(
    model: Any,
    options: TrainerOptions,
    data: Dataset,
    recorder: LossRecorder,
    *,
    weights: KtoWeights,
) -> BaizeKtoTrainer:
    """A trainer on a dataset with the columns ``prompt_ids``, ``completion_ids`` and ``label``."""
    arguments = KTOConfig(
        **_preference_arguments(options),
        desirable_weight=weights.good,
        undesirable_weight=weights.bad,
    )
    return _preference_trainer(BaizeKtoTrainer, model, arguments, data, recorder)


def _preference_arguments(options: TrainerOptions) -> dict[str, Any]:
    return {**_arguments(options, evaluate=False), "max_length": options.preset.max_length}


def _preference_trainer(
    kind: type[PreferenceTrainer], model: Any, arguments: Any, data: Dataset, recorder: LossRecorder
) -> PreferenceTrainer:
    trainer = kind(
        model=model,
        args=arguments,
        train_dataset=data,
        processing_class=_padding_tokenizer(),
        callbacks=[recorder],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(options: TrainerOptions, *, evaluate: bool) -> dict[str, Any]:
    preset, on_cpu = options.preset, options.device == "cpu"
    processes = TrainingArguments(output_dir=str(options.folder), use_cpu=on_cpu).world_size
    micro_batch, accumulation = preset.split_batch(processes)
    on_gpu = options.device == "cuda"
    return {
        # The path of the best checkpoint is kept in others, for runs from any folder.
        "output_dir": str(options.folder.absolute() / CHECKPOINTS),
        "max_steps": options.steps,
        "per_device_train_batch_size": micro_batch,
        "per_device_eval_batch_size": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "learning_rate": options.learning_rate,
        "lr_scheduler_type": preset.schedule,
        "warmup_steps": preset.warmup(options.steps),
        "weight_decay": preset.weight_decay,
        "neftune_noise_alpha": preset.neftune or None,
        "bf16": on_gpu and torch.cuda.is_bf16_supported(),
        "fp16": on_gpu and not torch.cuda.is_bf16_supported(),
        "use_cpu": on_cpu,
        "gradient_checkpointing": options.checkpointing,
        "seed": options.seed,
        "data_seed": options.seed,
        "logging_steps": max(1, options.steps // 100),
        "logging_nan_inf_filter": False,
        "eval_strategy": "steps" if evaluate else "no",
        "eval_steps": options.eval_every,
        "eval_on_start": evaluate,
        "save_strategy": "steps",
        # The best weights are known after an evaluation, and have to be in a checkpoint then.
        "save_steps": options.eval_every if options.keep_best else options.save_every,
        "save_total_limit": 2,
        "load_best_model_at_end": options.keep_best,
        "metric_for_best_model": "loss" if options.keep_best else None,
        # The evaluations that early stopping has counted.
        "restore_callback_states_from_checkpoint": options.patience is not None,
        "disable_tqdm": True,
        "report_to": [options.report_to] if options.report_to else [],
        "use_liger_kernel": options.liger,
        "run_name": options.folder.absolute().name,
        "dataloader_pin_memory": on_gpu,
    }


def _padding_tokenizer() -> PreTrainedTokenizerFast:
    """TRL asks a tokenizer for the id that pads a batch. Padding has no label and no attention, so
    any id will do."""
    padding = "<pad>"
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({padding: 0}, padding)),
        pad_token=padding,
        eos_token=padding,
    )
