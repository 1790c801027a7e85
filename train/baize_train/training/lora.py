"""Put a new LoRA on a base, or on a base with a first LoRA merged into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training

from baize_shared.sanitizer import clean_line
from baize_train.errors import TrainError
from baize_train.training.base_model import load_base
from baize_train.training.kernels import NO_KERNELS, Kernels
from baize_train.training.run import TrainingRun


def add_lora(model: Any, run: TrainingRun) -> Any:
    """``model`` with a new trainable LoRA. Its B is zero, so the outputs do not change yet.

    Raises:
        TrainError: the base has no modules with the preset's names.
    """
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
        use_dora=preset.dora,
        use_rslora=preset.rslora,
        base_model_name_or_path=run.base_name or str(run.base),
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        names = ", ".join(preset.modules)
        raise TrainError(f"{run.base} does not have the modules {names}: {error}") from error


def continue_lora(model: Any, run: TrainingRun, adapter: Path) -> Any:
    """``model`` with the LoRA of the folder ``adapter``, which is trained further.

    Raises:
        TrainError: ``adapter`` is not an adapter of the base.
    """
    if run.quantization != "none":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=run.checkpointing)
    try:
        return PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise TrainError(
            f"{adapter} is not an adapter of {run.base}: {clean_line(str(error), 300)}"
        ) from error


def load_merged(base: Path, adapter: Path, kernels: Kernels = NO_KERNELS) -> Any:
    """``base`` with ``adapter`` merged into its weights in memory, all of them frozen.

    Raises:
        TrainError: ``adapter`` is not an adapter of ``base``.
    """
    try:
        model = PeftModel.from_pretrained(load_base(base, kernels=kernels), str(adapter))
    except (OSError, ValueError, RuntimeError) as error:
        raise TrainError(
            f"{adapter} is not an adapter of {base}: {clean_line(str(error), 300)}"
        ) from error
    merged = model.merge_and_unload()
    merged.requires_grad_(False)
    return merged
