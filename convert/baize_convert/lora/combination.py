"""What all adapters together make of one tensor of the base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from baize_convert.lora.adapter import Adapter, TensorPart
from baize_convert.lora.row_changes import RowChange
from baize_convert.sources.checkpoint import Checkpoint
from baize_convert.sources.tensors import Tensor

EMBEDDING, HEAD = "model.embed_tokens", "lm_head"


@dataclass(frozen=True)
class CombinedTensor:
    """The tensor to start from, and the steps that change its rows."""

    source: Tensor
    changes: tuple[RowChange, ...]


def combine_tensor(
    base: Checkpoint, adapters: Sequence[Adapter], module: str, part: TensorPart
) -> CombinedTensor | None:
    """The weight or bias of ``module`` in the output; None if the output does not have it."""
    source = base.tensors.get(f"{module}.{part}")
    if source is None and module == HEAD and part == "weight" and unties_head(base, adapters):
        # The base shares one tensor; after a change of one of the two, both are written.
        source = _shared_weight(base, adapters)
    changing = [
        (adapter, adapter.changes[module]) for adapter in adapters if module in adapter.changes
    ]
    if source is None and part == "weight" and changing and not unties_head(base, adapters):
        return None  # a head that the adapter ties: it changes with the embedding
    for _, change in changing:
        source = change.replaced.get(part, source)
    if source is None:
        return None
    steps: list[RowChange] = []
    for adapter, change in changing:
        if part == "weight":
            steps += change.weight_changes(source, adapter.weight)
        else:
            steps += change.bias_changes(adapter.weight)
    return CombinedTensor(source, tuple(steps))


def has_own_head(base: Checkpoint) -> bool:
    """Whether the head of the base is a tensor of its own, not the embedding."""
    return f"{HEAD}.weight" in base.tensors


def unties_head(base: Checkpoint, adapters: Sequence[Adapter]) -> bool:
    """Whether adapters of a tied base make embedding and head different.

    Training one of them leaves the other unchanged, while PEFT's own merge writes into the tensor
    they share, and so changes both. Trained tokens change both: PEFT ties them.
    """
    for adapter in adapters:
        for module in (EMBEDDING, HEAD):
            change = adapter.changes.get(module)
            if change is None or adapter.config.ensure_weight_tying:
                continue
            if change.a is not None or (change.replaced and not change.resizes_base):
                return True
            head = change.replaced.get("weight") if module == HEAD else None
            if head is not None and not head.equals(_shared_weight(base, adapters)):
                return True
    return False


def _shared_weight(base: Checkpoint, adapters: Sequence[Adapter]) -> Tensor:
    """The tensor that embedding and head of a tied base share, resized if an adapter resizes it."""
    for adapter in adapters:
        change = adapter.changes.get(EMBEDDING)
        if change is not None and change.resizes_base and "weight" in change.replaced:
            return change.replaced["weight"]
    return base.tensors[f"{EMBEDDING}.weight"]


def vocabulary_size(base: Checkpoint, adapters: Sequence[Adapter]) -> int:
    """Rows of the embedding, which an adapter may have resized."""
    for adapter in adapters:
        change = adapter.changes.get(EMBEDDING)
        if change is not None and "weight" in change.replaced:
            return change.replaced["weight"].rows
    return base.config.vocab_size
