"""The weights that a run results in, with what other programs need beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from peft import PeftModel
from safetensors.torch import load_file

from baize_shared.trained_prompt import TrainedPrompt, read_trained_prompt, write_trained_prompt
from baize_train.tokens.new_tokens import write_tokenizer
from baize_train.tokens.vocabulary import vocabulary_size
from baize_train.training.checkpoints import weight_files
from baize_train.training.run import TrainingRun


def save_results(model: Any, run: TrainingRun, prompt: TrainedPrompt) -> None:
    """Write the adapter, or the whole model, to the folder of ``run``.

    A model has its tokenizer with it; an adapter only if it has new tokens.

    Raises:
        TrainError: the tokenizer of the base cannot be read or written.
        OSError, SafetensorError, RuntimeError: the weights cannot be written.
    """
    if run.preset.full:
        _save_model(model, run.output)
        prompt = _with_tokens_of_base(prompt, run.base)
    else:
        model.save_pretrained(run.output, save_embedding_layers=_copies_embedding(run, prompt))
    if run.preset.full or prompt.new_tokens:
        write_tokenizer(run.base, run.new_tokens, run.output)
    write_trained_prompt(prompt, run.output)


def load_results(model: Any, folder: Path) -> None:
    """Give ``model`` the weights of the checkpoint in ``folder``."""
    if isinstance(model, PeftModel):
        model.load_adapter(str(folder), model.active_adapter)
        return
    weights: dict[str, torch.Tensor] = {}
    for file in weight_files(folder):
        weights |= load_file(file)
    model.load_state_dict(weights, strict=False)  # a tied head is not in the file
    model.tie_weights()


def _save_model(model: Any, folder: Path) -> None:
    model.config.use_cache = True  # training turned it off
    model.save_pretrained(folder)
    model.config.use_cache = False


def _copies_embedding(run: TrainingRun, prompt: TrainedPrompt) -> bool | Literal["auto"]:
    """Whether embedding and head of the base belong to the adapter: PEFT needs them if they have
    more rows than the base. A LoRA over an adapter with new tokens leaves them to that one."""
    if not run.new_tokens:
        return "auto"
    rows = vocabulary_size(run.base, run.new_tokens)
    return bool(prompt.new_tokens) and rows != vocabulary_size(run.base, ())


def _with_tokens_of_base(prompt: TrainedPrompt, base: Path) -> TrainedPrompt:
    """``prompt`` with the tokens that an earlier training has added to the base."""
    earlier = read_trained_prompt(base)
    if earlier is None:
        return prompt
    tokens = (*earlier.new_tokens, *prompt.new_tokens)
    return msgspec.structs.replace(prompt, new_tokens=tokens)
