"""Checks that adapters fit a base, and each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from baize_convert.failures import ConvertError, first_few
from baize_convert.lora.adapter import EMBEDDING, HEAD, Adapter, ModuleChange
from baize_convert.lora.combination import (
    combine_tensor,
    has_own_head,
    has_tied_tokens,
    ties_head,
    unties_head,
    vocabulary_size,
)
from baize_convert.sources.checkpoint import Checkpoint
from baize_convert.sources.tensor_names import module_names
from baize_convert.sources.tensors import Tensor, transposed

_TOKEN_MODULES = frozenset({EMBEDDING, HEAD})
"""Modules with a row for each token, which an adapter may resize."""
_OTHER_PARTS = {
    ("vision", "visual", "image", "multi_modal", "mm_projector", "audio"): "a part for images or "
    "sound",
    ("score", "classifier", "qa_outputs"): "the head of a classifier",
    ("v_head",): "the value head of a training with rewards",
    (".experts.", ".router", "block_sparse_moe"): "an expert",
}
"""Words in the names of modules that other models have."""


def check_adapters(base: Checkpoint, adapters: Sequence[Adapter]) -> None:
    """Check that every adapter fits the base and can be merged together with the others.

    Raises:
        ConvertError: an adapter does not fit; the first mismatches are named.
    """
    vocabulary = vocabulary_size(base, adapters)
    _check_exclusive_changes(adapters)
    _check_base_copies(adapters)
    for adapter in adapters:
        _check_shapes(base, adapter, vocabulary)
        _check_tied_head(base, adapter)
        _check_saved(base, adapter)
    with_tokens = [adapter for adapter in adapters if has_tied_tokens(adapter)]
    if with_tokens and not has_own_head(base) and unties_head(base, adapters):
        raise ConvertError(
            f"{with_tokens[0].path}: trained tokens of an embedding that the head shares cannot be "
            "merged together with another change of embedding or head"
        )
    for module in (EMBEDDING, HEAD):
        combined = combine_tensor(base, adapters, module, "weight")
        if combined is not None and combined.source.rows != vocabulary:
            raise ConvertError(
                f"{adapters[0].path}: it has a vocabulary of {vocabulary}, but {module}, which it "
                f"does not contain, has {combined.source.rows} rows: save the adapter with "
                "save_embedding_layers=True"
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


def _check_base_copies(adapters: Sequence[Adapter]) -> None:
    """Two adapters can contain tensors of their base, such as a resized embedding, if it is one."""
    first: dict[str, tuple[Adapter, Tensor]] = {}
    for adapter in adapters:
        for module, change in adapter.changes.items():
            for part, tensor in change.base_copies.items():
                other, copy = first.setdefault(f"{module}.{part}", (adapter, tensor))
                if not copy.equals(tensor):
                    raise ConvertError(
                        f"{other.path} and {adapter.path} were trained on different bases: each "
                        f"contains another {module}.{part} of its base"
                    )


def _check_shapes(base: Checkpoint, adapter: Adapter, vocabulary: int) -> None:
    names = module_names(base.config)
    wrong: list[str] = []
    for module, change in adapter.changes.items():
        if module not in names:
            wrong.append(f"{module}: no such module{_explain(module)}")
            continue
        weight = base.tensors.get(f"{module}.weight")
        if weight is None:  # a tied head; other modules always have a weight
            weight = base.tensors[f"{EMBEDDING}.weight"]
        shape = weight.shape
        if module in _TOKEN_MODULES:
            shape = (vocabulary, shape[1])
        wrong += [f"{module}{mismatch}" for mismatch in _mismatches(base, module, change, shape)]
    if wrong:
        raise ConvertError(
            f"{adapter.path} is not an adapter of {base.path}: {first_few(wrong, '; ')}"
            f"{_name_base(adapter)}"
        )


def _check_saved(base: Checkpoint, adapter: Adapter) -> None:
    """Check that the adapter has all modules that it should have as a whole."""
    missing = [
        module
        for module in module_names(base.config)
        if adapter.config.saves_part(module)
        and not (module in adapter.changes and "weight" in adapter.changes[module].replaced)
    ]
    if missing:
        raise ConvertError(
            f"{adapter.path} has no weights of {first_few(missing)}, though modules_to_save in "
            "adapter_config.json names them, and PEFT cannot load it either: save the adapter "
            "again, with the parameters gathered if it was trained with DeepSpeed or FSDP"
        )


def _explain(module: str) -> str:
    """What a module that no language model has belongs to, if its name says that."""
    for words, what in _OTHER_PARTS.items():
        if any(word in module for word in words):
            return f" ({what}, which a GGUF of the language model does not contain)"
    return ""


def _name_base(adapter: Adapter) -> str:
    name = adapter.config.base_model_name_or_path
    return f"; it was trained on {name}" if name else ""


def _check_tied_head(base: Checkpoint, adapter: Adapter) -> None:
    embedding, head = adapter.changes.get(EMBEDDING), adapter.changes.get(HEAD)
    if (
        not has_own_head(base)
        and has_tied_tokens(adapter)
        and head is not None
        and head.token_rows is not None
        and not (embedding is not None and _are_equal(head.token_rows, embedding.token_rows))
    ):
        raise ConvertError(
            f"{adapter.path}: embedding and head share their trained tokens, but they differ"
        )
    if not _head_is_embedding(base, adapter):
        raise ConvertError(
            f"{adapter.path}: ensure_weight_tying says that lm_head is the embedding, but their "
            "weights differ"
        )


def _head_is_embedding(base: Checkpoint, adapter: Adapter) -> bool:
    """Whether a head that PEFT tied changes like the embedding, so that it can be left out."""
    head = adapter.changes.get(HEAD)
    tied = ties_head(adapter) and not has_own_head(base)
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
        and (head.token_rows is None or _are_equal(head.token_rows, embedding.token_rows))
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
    for part, tensor in (*change.replaced.items(), *change.base_copies.items()):
        expected = shape if part == "weight" else None
        if part == "bias" and f"{module}.bias" in base.tensors:
            expected = base.tensors[f"{module}.bias"].shape
        if expected is None:
            yield f".{part}: the base has none, so it cannot be replaced"
        elif expected != tensor.shape:
            yield f".{part}: {list(tensor.shape)} for {list(expected)}"
    if change.bias is not None and f"{module}.bias" not in base.tensors:
        yield ".bias: the base has none, so the bias of the LoRA cannot be added"
    if change.token_rows is not None:
        if module not in _TOKEN_MODULES:
            yield ": has no rows for tokens"
        elif change.token_rows.shape[1:] != shape[1:]:
            yield f": trained tokens of {change.token_rows.columns} columns for {shape[1]}"
        elif not all(0 <= id < shape[0] for id in change.token_ids):
            yield f": trained token {max(change.token_ids)} of {shape[0]}"
