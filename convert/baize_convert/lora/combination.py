"""What all adapters together make of one tensor of the base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from baize_convert.lora.adapter import EMBEDDING, HEAD, Adapter, TensorPart
from baize_convert.lora.row_changes import RowChange
from baize_convert.sources.checkpoint import Checkpoint
from baize_convert.sources.tensors import StoredTensor, Tensor


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
    changing = [
        (adapter, adapter.changes[module]) for adapter in adapters if module in adapter.changes
    ]
    if module == HEAD and part == "weight" and not has_own_head(base):
        if not unties_head(base, adapters):
            return None  # it changes with the embedding
        # The base shares one tensor; after a change of one of the two, both are written.
        source = shared_weight(base, adapters)
    elif module == EMBEDDING and part == "weight":
        source = shared_weight(base, adapters)
    for _, change in changing:
        source = change.source(part) or source
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
    they share, and so changes both. Trained tokens change both if PEFT tied them.
    """
    return any(
        _unties_head(base, adapters, adapter, module)
        for adapter in adapters
        for module in (EMBEDDING, HEAD)
    )


def _unties_head(
    base: Checkpoint, adapters: Sequence[Adapter], adapter: Adapter, module: str
) -> bool:
    change = adapter.changes.get(module)
    if change is None or ties_head(adapter):
        return False
    if change.a is not None or change.replaced:
        return True
    if module == EMBEDDING:
        return False
    copy = change.base_copies.get("weight")
    if copy is not None and not _are_equal(copy, shared_weight(base, adapters)):
        return True
    return change.token_rows is not None and not has_tied_tokens(adapter)


def ties_head(adapter: Adapter) -> bool:
    """Whether the adapter changes a tied head exactly like the embedding, with the same numbers.

    ``ensure_weight_tying`` shares A and B, but DoRA scales the rows of a head and the columns of an
    embedding, and each of them may have an alpha of its own.
    """
    embedding, head = adapter.changes.get(EMBEDDING), adapter.changes.get(HEAD)
    if not adapter.config.ensure_weight_tying:
        return False
    if head is None:
        return True
    if head.token_rows is not None and (embedding is None or embedding.token_rows is None):
        return False  # PEFT ties tokens to those of the embedding, of which there are none
    if embedding is None:
        return True
    return head.magnitude is None and (head.a is None or head.scale == embedding.scale)


def _are_equal(left: Tensor, right: Tensor) -> bool:
    if isinstance(left, StoredTensor) and isinstance(right, StoredTensor):
        return _stored_are_equal(left, right)
    return left.equals(right)


@lru_cache(maxsize=8)
def _stored_are_equal(left: StoredTensor, right: StoredTensor) -> bool:
    """Compared once: these are whole embeddings, and a plan asks several times."""
    return left.equals(right)


def has_tied_tokens(adapter: Adapter) -> bool:
    """Whether the trained tokens of the embedding of a tied base are those of its head too.

    PEFT ties them unless the config names other tokens for the head, or the head alone
    (``set_additional_trainable_modules`` of peft/utils/other.py).
    """
    embedding, head = adapter.changes.get(EMBEDDING), adapter.changes.get(HEAD)
    if embedding is None or embedding.token_rows is None:
        return False
    return head is None or head.token_rows is None or head.token_ids == embedding.token_ids


def shared_weight(base: Checkpoint, adapters: Sequence[Adapter]) -> Tensor:
    """The embedding before it was trained, which a tied head shares; adapters may resize it."""
    modules = (EMBEDDING,) if has_own_head(base) else (EMBEDDING, HEAD)
    for module in modules:
        for adapter in adapters:
            change = adapter.changes.get(module)
            if change is not None and "weight" in change.base_copies:
                return change.base_copies["weight"]
    return base.tensors[f"{EMBEDDING}.weight"]


def vocabulary_size(base: Checkpoint, adapters: Sequence[Adapter]) -> int:
    """Rows of the embedding, which an adapter may have resized."""
    for module in (EMBEDDING, HEAD):
        for adapter in adapters:
            change = adapter.changes.get(module)
            source = None if change is None else change.source("weight")
            if source is not None:
                return source.rows
    return base.config.vocab_size
