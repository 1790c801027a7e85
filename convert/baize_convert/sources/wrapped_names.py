"""Names of tensors without what wraps the model: PyTorch, PEFT, trainers and larger models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from baize_convert.failures import ConvertError

WRAPPERS = frozenset(
    [
        "_orig_mod",  # torch.compile
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",  # activation checkpointing
        "_forward_module",  # Lightning Fabric
        "module",  # DistributedDataParallel, DeepSpeed
    ]
)
"""Parts of a name that PyTorch and trainers add, anywhere in it."""
_OUTER = frozenset(["base_model", "pretrained_model", "language_model", "text_model"])
"""What a model is an attribute of, in PEFT, TRL and multimodal models."""
_IN_MODEL = frozenset(["embed_tokens", "layers", "norm"])

_T = TypeVar("_T")


def without_wrappers(name: str) -> str:
    """``name`` without the parts in ``WRAPPERS``."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def tensor_name(name: str) -> str:
    """The name of a tensor in a model on its own, ``model.layers.0.…`` or ``lm_head.weight``.

    ``model.`` may be missing, as in a checkpoint of ``LlamaModel`` (``base_model_prefix`` of
    transformers' modeling_utils.py). A name that leads to no part of such a model stays as it is.
    """
    parts = [part for part in without_wrappers(name).split(".") if part not in _OUTER]
    while parts and parts[0] == "model":
        del parts[0]
    if parts and parts[0] == "lm_head":
        return ".".join(parts)
    if parts and parts[0] in _IN_MODEL:
        return ".".join(["model", *parts])
    return name


def unwrap_names(tensors: Mapping[str, _T], where: Path) -> tuple[dict[str, _T], list[str]]:
    """``tensors`` under their ``tensor_name``, and a note if a name changed.

    Raises:
        ConvertError: two names become equal.
    """
    unwrapped: dict[str, _T] = {}
    sources: dict[str, str] = {}
    for name, tensor in tensors.items():
        new = tensor_name(name)
        if new in unwrapped:
            raise ConvertError(
                f"{where}: {sources[new]} and {name} both mean {new}: two models in one checkpoint"
            )
        unwrapped[new], sources[new] = tensor, name
    changed = [(old, new) for new, old in sources.items() if old != new]
    if not changed:
        return unwrapped, []
    old, new = changed[0]
    return unwrapped, [
        f"{where}: {len(changed)} tensors are not named as in transformers: {old} counts as {new}"
    ]
