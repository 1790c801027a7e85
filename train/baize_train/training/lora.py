"""Put a new LoRA on a base, or on a base with a first LoRA merged into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training

from baize_shared.counts import count_text
from baize_shared.sanitizer import clean_line
from baize_train.errors import TrainError
from baize_train.training.base_model import load_base
from baize_train.training.lora_modules import require_modules
from baize_train.training.run import TrainingRun
from baize_train.training.token_rows import (
    add_token_rows,
    let_trl_read_head,
    trainable_tokens,
)


def add_lora(model: Any, run: TrainingRun) -> Any:
    """``model`` with a new trainable LoRA. Its B is zero, so the outputs do not change yet.

    Raises:
        TrainError: the base has no modules with the preset's names.
    """
    preset = run.preset
    require_modules(run, (name for name, _ in model.named_modules()))
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
        trainable_token_indices=trainable_tokens(model, run) if preset.added_tokens else None,
        base_model_name_or_path=run.base_name or str(run.base),
    )
    try:
        trained = get_peft_model(model, config)
    except ValueError as error:
        names = ", ".join(preset.modules)
        raise TrainError(f"{run.base} does not have the modules {names}: {error}") from error
    if preset.added_tokens:
        let_trl_read_head(trained)
    return trained


def continue_lora(model: Any, run: TrainingRun, adapter: Path) -> Any:
    """``model`` with the LoRA of the folder ``adapter``, which is trained further.

    Raises:
        TrainError: ``adapter`` is not an adapter of the base.
    """
    if run.quantization != "none":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=run.checkpointing)
    trained = _load_adapter(model, run, adapter, trainable=True)
    if run.new_tokens:
        let_trl_read_head(trained)
    return trained


def load_merged(run: TrainingRun, adapter: Path) -> Any:
    """The base of ``run`` with ``adapter`` merged into its weights in memory, all of them frozen.

    Raises:
        TrainError: ``adapter`` is not an adapter of the base.
    """
    base = load_base(run.base, kernels=run.kernels)
    add_token_rows(base, run)
    merged = _load_adapter(base, run, adapter, trainable=False).merge_and_unload()
    merged.requires_grad_(False)
    return merged


def _load_adapter(model: Any, run: TrainingRun, adapter: Path, *, trainable: bool) -> Any:
    """``model`` with all weights of ``adapter``, and none that it does not have.

    Raises:
        TrainError: ``adapter`` is not an adapter of the base.
    """
    refusal = f"{adapter} is not an adapter of {run.base}"
    try:
        loaded = PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)
        # The first call keeps to itself which weights did not fit, as those of a deeper base.
        fitted = loaded.load_adapter(str(adapter), "default", is_trainable=trainable)
    except (OSError, ValueError, RuntimeError) as error:
        raise TrainError(f"{refusal}: {clean_line(str(error), 300)}") from error
    # Of new tokens a tied head has no weights of its own, which the file has all the same.
    if strange := [name for name in fitted.unexpected_keys if ".lora_" in name]:
        raise TrainError(f"{refusal}, which has no modules for {_weights_text(strange)}")
    if missing := fitted.missing_keys:
        raise TrainError(f"{refusal}, which has modules without their {_weights_text(missing)}")
    return loaded


def _weights_text(names: list[str]) -> str:
    return f"{count_text(len(names), 'weight')}, such as {clean_line(min(names), 120)}"
