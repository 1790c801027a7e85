"""Rows of the embedding and of the head for new tokens."""

from __future__ import annotations

from typing import Any

import torch

from baize_train.tokens.new_tokens import number_tokens
from baize_train.training.run import TrainingRun


def add_token_rows(model: Any, run: TrainingRun) -> None:
    """Give the new tokens of ``run`` rows in ``model``: the mean of the rows of all its tokens.

    With the mean, a token begins as one that is about as likely as the others (Hewitt,
    "Initializing new word embeddings for pretrained language models", 2021), and every run begins
    with the same weights.

    Raises:
        TrainError: see ``number_tokens``.
    """
    ids = number_tokens(run.base, run.new_tokens)
    if not ids:
        return
    if ids.stop > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(ids.stop, mean_resizing=False)
    with torch.no_grad():
        for module in _token_modules(model).values():
            mean = module.weight[: ids.start].float().mean(dim=0)
            module.weight[ids.start : ids.stop] = mean.to(module.weight)


def trainable_tokens(model: Any, run: TrainingRun) -> dict[str, list[int]] | None:
    """``trainable_token_indices`` of PEFT for the new tokens of ``run``; None if it has none.

    PEFT trains a head that is the embedding along with it.

    Raises:
        TrainError: see ``number_tokens``.
    """
    ids = list(number_tokens(run.base, run.new_tokens))
    return dict.fromkeys(_token_modules(model), ids) if ids else None


def let_trl_read_head(model: Any) -> None:
    """TRL reads ``lm_head.bias``, which PEFT's wrapper of a module with trained tokens lacks."""
    head = model.get_output_embeddings()
    if not hasattr(head, "bias"):
        object.__setattr__(head, "bias", head.original_module.bias)


def _token_modules(model: Any) -> dict[str, Any]:
    """The embedding, and the head if it has weights of its own, by the end of their names."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    modules = [embedding] if head is None or head.weight is embedding.weight else [embedding, head]
    return {
        name.rpartition(".")[2]: module
        for name, module in model.named_modules()
        if any(module is token_module for token_module in modules)
    }
