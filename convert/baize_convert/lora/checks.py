"""Checks that adapters fit a base, and each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from baize_convert.failures import ConvertError
from baize_convert.lora.adapter import Adapter, ModuleChange
from baize_convert.lora.combination import (
    EMBEDDING,
    HEAD,
    combine_tensor,
    has_own_head,
    unties_head,
    vocabulary_size,
)
from baize_convert.sources.checkpoint import Checkpoint
from baize_convert.sources.tensor_names import module_names
from baize_convert.sources.tensors import Tensor, transposed

_TOKEN_MODULES = frozenset({EMBEDDING, HEAD})
"""Modules with a row for each token, which an adapter may resize."""


def check_adapters(base: Checkpoint, adapters: Sequence[Adapter]) -> None:
    """Check that every adapter fits the base and can be merged together with the others.

    Raises:
        ConvertError: an adapter does not fit; all mismatches of it are named.
    """
    vocabulary = vocabulary_size(base, adapters)
    _check_exclusive_changes(adapters)
    for adapter in adapters:
        _check_shapes(base, adapter, vocabulary)
        _check_tied_head(base, adapter)
    with_tokens = [adapter for adapter in adapters if _has_tokens(adapter, EMBEDDING)]
    if with_tokens and not has_own_head(base) and unties_head(base, adapters):
        raise ConvertError(
            f"{with_tokens[0].path}: trained tokens of an embedding that the head shares cannot be "
            "merged together with another change of embedding or head"
        )
    head = combine_tensor(base, adapters, HEAD, "weight")
    if head is not None and head.source.rows != vocabulary:
        raise ConvertError(
            f"{adapters[0].path}: its embedding has {vocabulary} rows, but the head, which it does "
            f"not change, has {head.source.rows}: save the adapter with save_embedding_layers=True"
        )


def _check_exclusive_changes(adapters: Sequence[Adapter]) -> None:
    """Changes that replace weights or, as DoRA, rescale rows cannot be weighted or added up."""
    for index, adapter in enumerate(adapters):
        others = (*adapters[:index], *adapters[index + 1 :])
        for module, change in adapter.changes.items():
            shared = any(module in other.changes for other in others)
            if change.exclusive_reason and (shared or adapter.weight != 1):
                raise ConvertError(
                    f"{adapter.path}: {module} {change.exclusive_reason}, which is exclusive: it "
                    "takes no weight but 1, and no other adapter of that module"
                )


def _check_shapes(base: Checkpoint, adapter: Adapter, vocabulary: int) -> None:
    names = module_names(base.config)
    wrong: list[str] = []
    for module, change in adapter.changes.items():
        if module not in names:
            wrong.append(f"{module}: no such module")
            continue
        weight = base.tensors.get(f"{module}.weight")
        if weight is None:  # a tied head; other modules always have a weight
            weight = base.tensors[f"{EMBEDDING}.weight"]
        shape = weight.shape
        if module in _TOKEN_MODULES:
            shape = (vocabulary, shape[1])
            if weight.shape != shape and "weight" not in change.replaced:
                wrong.append(f"{module}: no weight for a vocabulary of {vocabulary}")
                continue
        wrong += [f"{module}{mismatch}" for mismatch in _mismatches(base, module, change, shape)]
    if wrong:
        raise ConvertError(f"{adapter.path} is not an adapter of {base.path}: {'; '.join(wrong)}")


def _check_tied_head(base: Checkpoint, adapter: Adapter) -> None:
    if not has_own_head(base) and _has_tokens(adapter, HEAD):
        raise ConvertError(
            f"{adapter.path}: it trains tokens of lm_head, which the base shares with the "
            "embedding: train those of embed_tokens"
        )
    if not _head_is_embedding(base, adapter):
        raise ConvertError(
            f"{adapter.path}: ensure_weight_tying says that lm_head is the embedding, but their "
            "weights differ"
        )


def _has_tokens(adapter: Adapter, module: str) -> bool:
    change = adapter.changes.get(module)
    return change is not None and change.token_rows is not None


def _head_is_embedding(base: Checkpoint, adapter: Adapter) -> bool:
    """Whether a head that PEFT tied changes like the embedding, so that it can be left out."""
    head = adapter.changes.get(HEAD)
    tied = adapter.config.ensure_weight_tying and not has_own_head(base)
    if head is None or not tied:
        return True
    embedding = adapter.changes.get(EMBEDDING)
    if embedding is None:
        return False
    # A and B of a head correspond to B and A of an embedding.
    return (
        _are_equal(head.replaced.get("weight"), embedding.replaced.get("weight"))
        and _are_equal(None if head.a is None else transposed(head.a), embedding.b)
        and _are_equal(None if head.b is None else transposed(head.b), embedding.a)
    )


def _are_equal(left: Tensor | None, right: Tensor | None) -> bool:
    """Whether both are the same tensor, or both are missing."""
    return left is right if left is None or right is None else left.equals(right)


def _mismatches(
    base: Checkpoint, module: str, change: ModuleChange, shape: tuple[int, ...]
) -> Iterator[str]:
    """The parts of ``change`` that do not fit the module, whose weight has this ``shape``."""
    if change.a is not None and change.b is not None:
        changed = (change.b.shape[0], change.a.shape[1])
        if change.is_embedding:
            changed = (changed[1], changed[0])
        if changed != shape:
            yield f": {list(changed)} for {list(shape)}"
    for part, tensor in change.replaced.items():
        expected = shape if part == "weight" else None
        if part == "bias" and f"{module}.bias" in base.tensors:
            expected = base.tensors[f"{module}.bias"].shape
        if expected != tensor.shape:
            yield f".{part}: {list(tensor.shape)} cannot replace the base's"
    if change.bias is not None and f"{module}.bias" not in base.tensors:
        yield ".bias: the base has none, so the bias of the LoRA cannot be added"
    if change.token_rows is not None:
        if module not in _TOKEN_MODULES:
            yield ": has no rows for tokens"
        elif change.token_rows.shape[1:] != shape[1:]:
            yield f": trained tokens of {change.token_rows.columns} columns for {shape[1]}"
        elif not all(0 <= id < shape[0] for id in change.token_ids):
            yield f": trained token {max(change.token_ids)} of {shape[0]}"
