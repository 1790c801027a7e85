"""Each tensor of the output: rows of the base, what adapters add, the order of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from baize_convert.adapter import Adapter, ModuleChange
from baize_convert.checkpoint import Checkpoint
from baize_convert.failures import ConvertError
from baize_convert.ggml import Bytes, Float32, GgmlType
from baize_convert.gguf_file import GgufTensor
from baize_convert.row_changes import RowChange
from baize_convert.stored_tensors import ArrayTensor, Tensor
from baize_convert.tensor_names import modules, permute_rows, sort_key

_EMBEDDING = "model.embed_tokens.weight"
_OF_VOCABULARY = frozenset({"model.embed_tokens", "lm_head"})
"""Modules with a row for each token, which an adapter may bring in another size."""


@dataclass(frozen=True)
class MergedTensor:
    """A tensor of the output. Rows are read, merged and put into order a slab at a time."""

    name: str
    source: Tensor
    changes: tuple[RowChange, ...] = ()
    permuted_heads: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def rows(self) -> int:
        return self.source.rows

    @property
    def columns(self) -> int:
        return self.source.columns

    @property
    def slab_multiple(self) -> int:
        """Rows that belong together: those of a head, where rows change places."""
        if not self.permuted_heads or len(self.shape) == 1:
            return 1
        return self.rows // self.permuted_heads

    def slab(self, first: int, count: int) -> tuple[Float32, Float32 | None]:
        """Rows as they go into the file, and what adapters added to them (None: nothing)."""
        before = rows = self.source.read(first, count)
        for change in self.changes:
            rows = change.apply(rows, first)
        delta = rows - before if self.changes else None
        self.source.drop(first, count)
        return self._in_order(rows), None if delta is None else self._in_order(delta)

    def prefetch(self, first: int, count: int) -> None:
        """These rows will be read soon."""
        self.source.prefetch(first, count)

    def packed(self, type: GgmlType, first: int, count: int) -> Bytes | None:
        """Rows that need only be copied, as no adapter changes them and they have this type."""
        if self.changes or not isinstance(self.source, GgufTensor) or self.source.type != type:
            return None
        return self.source.packed(first, count)

    def _in_order(self, rows: Float32) -> Float32:
        if not self.permuted_heads:
            return rows
        if len(self.shape) == 1:  # a bias: each number is a row of its own
            return permute_rows(rows.reshape(-1, 1), self.permuted_heads).reshape(1, -1)
        return permute_rows(rows, len(rows) // self.slab_multiple)


def merged_tensors(base: Checkpoint, adapters: Sequence[Adapter]) -> list[MergedTensor]:
    """All tensors of the output, in the order of llama-quantize.

    Raises:
        ConvertError: an adapter that is not of this model; every mismatch is named.
    """
    check_adapters(base, adapters)
    found = [
        MergedTensor(name, ArrayTensor(name, "F32", values.shape, values))
        for name, values in base.computed.items()
    ]
    for module in modules(base.config).values():
        for part in ("weight", "bias"):
            tensor = _merged(base, adapters, module.source, part)
            if tensor is not None:
                name = f"{module.target}.{part}"
                found.append(MergedTensor(name, *tensor, module.permuted_heads))
    return sorted(found, key=lambda tensor: sort_key(tensor.name))


def _merged(
    base: Checkpoint, adapters: Sequence[Adapter], module: str, part: str
) -> tuple[Tensor, tuple[RowChange, ...]] | None:
    source = base.tensors.get(f"{module}.{part}")
    if source is None and f"{module}.{part}" == "lm_head.weight" and _diverges(base, adapters):
        # Tied in the base, and no longer once one of the two is changed: both are written.
        source = _shared_weight(base, adapters)
    here = [(adapter, adapter.changes[module]) for adapter in adapters if module in adapter.changes]
    if source is None and part == "weight" and here and not _diverges(base, adapters):
        return None  # a head tied by the adapter: what changes the embedding changes it
    for _, change in here:
        source = change.replaced.get(part, source)
    if source is None:
        return None
    changes: list[RowChange] = []
    for adapter, change in here:
        if part == "weight":
            changes += change.of_weight(source, adapter.weight)
        else:
            changes += change.of_bias(adapter.weight)
    return source, tuple(changes)


def _diverges(base: Checkpoint, adapters: Sequence[Adapter]) -> bool:
    """Whether embedding and head are no longer one: training one of them leaves the other alone.

    PEFT's own merge writes into the tensor they share, and so changes both. Trained tokens are
    those of both: PEFT ties them.
    """
    for adapter in adapters:
        for module in ("model.embed_tokens", "lm_head"):
            change = adapter.changes.get(module)
            if change is None or adapter.config.ensure_weight_tying:
                continue
            if change.a is not None or (change.replaced and not change.rebased):
                return True
            head = change.replaced.get("weight") if module == "lm_head" else None
            if head is not None and not head.equals(_shared_weight(base, adapters)):
                return True
    return False


def _shared_weight(base: Checkpoint, adapters: Sequence[Adapter]) -> Tensor:
    """What embedding and head of a tied model have in common: the base's, or as it was resized."""
    for adapter in adapters:
        change = adapter.changes.get("model.embed_tokens")
        if change is not None and change.rebased and "weight" in change.replaced:
            return change.replaced["weight"]
    return base.tensors[_EMBEDDING]


def check_adapters(base: Checkpoint, adapters: Sequence[Adapter]) -> None:
    """Whether every adapter fits the base, module by module.

    Raises:
        ConvertError: one does not; every mismatch is named.
    """
    known = modules(base.config)
    vocabulary = vocabulary_size(base, adapters)
    _check_together(adapters)
    for adapter in adapters:
        wrong: list[str] = []
        for module, change in adapter.changes.items():
            if module not in known:
                wrong.append(f"{module}: no such module")
                continue
            weight = base.tensors.get(f"{module}.weight")
            if weight is None:  # a tied head; other modules always have one
                weight = base.tensors[_EMBEDDING]
            shape = weight.shape
            if module in _OF_VOCABULARY:
                shape = (vocabulary, shape[1])
                if weight.shape != shape and "weight" not in change.replaced:
                    wrong.append(f"{module}: no weight for a vocabulary of {vocabulary}")
                    continue
            wrong += [f"{module}{what}" for what in _mismatches(base, module, change, shape)]
        if wrong:
            raise ConvertError(
                f"{adapter.path} is not an adapter of {base.path}: {'; '.join(wrong)}"
            )
        if "lm_head.weight" not in base.tensors and _has_tokens(adapter, "lm_head"):
            raise ConvertError(
                f"{adapter.path}: its trained tokens are those of lm_head, which the base shares "
                "with the embedding: train those of embed_tokens"
            )
        if not _is_one(base, adapter):
            raise ConvertError(
                f"{adapter.path}: ensure_weight_tying says that lm_head is the embedding, but its "
                "weights are others"
            )
    tokens = [one for one in adapters if _has_tokens(one, "model.embed_tokens")]
    if tokens and "lm_head.weight" not in base.tensors and _diverges(base, adapters):
        raise ConvertError(
            f"{tokens[0].path}: trained tokens of an embedding that the head shares cannot be "
            "merged together with another change of one of the two"
        )
    head = _merged(base, adapters, "lm_head", "weight")
    if head is not None and head[0].rows != vocabulary:
        raise ConvertError(
            f"{adapters[0].path}: its embedding has {vocabulary} rows, and the head that it "
            f"leaves as it is {head[0].rows}: save the adapter with save_embedding_layers=True"
        )


def _has_tokens(adapter: Adapter, module: str) -> bool:
    change = adapter.changes.get(module)
    return change is not None and change.token_rows is not None


def _is_one(base: Checkpoint, adapter: Adapter) -> bool:
    """Whether a head that PEFT tied is changed as the embedding is, so that it can be left out."""
    head = adapter.changes.get("lm_head")
    tied = adapter.config.ensure_weight_tying and "lm_head.weight" not in base.tensors
    if head is None or not tied:
        return True
    embedding = adapter.changes.get("model.embed_tokens")
    if embedding is None:
        return False
    pairs = [(head.replaced.get("weight"), embedding.replaced.get("weight"))]
    # In a head A and B have the places of the embedding's B and A.
    pairs += [(_transposed(head.a), embedding.b), (_transposed(head.b), embedding.a)]
    return all(
        one is other if one is None or other is None else one.equals(other) for one, other in pairs
    )


def _transposed(matrix: Tensor | None) -> Tensor | None:
    if matrix is None:
        return None
    values = np.ascontiguousarray(matrix.read().T)
    return ArrayTensor(matrix.name, matrix.dtype, values.shape, values)


def _mismatches(
    base: Checkpoint, module: str, change: ModuleChange, shape: tuple[int, ...]
) -> Iterator[str]:
    """What of ``change`` does not fit the module's weight of this ``shape``."""
    if change.a is not None and change.b is not None:
        of_adapter = (change.b.shape[0], change.a.shape[1])
        if change.is_embedding:
            of_adapter = (of_adapter[1], of_adapter[0])
        if of_adapter != shape:
            yield f": {list(of_adapter)} for {list(shape)}"
    for part, tensor in change.replaced.items():
        own = shape if part == "weight" else None
        if part == "bias" and f"{module}.bias" in base.tensors:
            own = base.tensors[f"{module}.bias"].shape
        if own != tensor.shape:
            yield f".{part}: {list(tensor.shape)} cannot replace the base's"
    if change.bias is not None and f"{module}.bias" not in base.tensors:
        yield ".bias: the base has none to add that of the LoRA to"
    if change.token_rows is not None:
        if module not in _OF_VOCABULARY:
            yield ": has no rows for tokens"
        elif change.token_rows.shape[1:] != shape[1:]:
            yield f": trained tokens of {change.token_rows.columns} columns for {shape[1]}"
        elif not all(0 <= id < shape[0] for id in change.token_ids):
            yield f": trained token {max(change.token_ids)} of {shape[0]}"


def vocabulary_size(base: Checkpoint, adapters: Sequence[Adapter]) -> int:
    """Rows of the embedding, which an adapter may have resized."""
    for adapter in adapters:
        change = adapter.changes.get("model.embed_tokens")
        if change is not None and "weight" in change.replaced:
            return change.replaced["weight"].rows
    return base.config.vocab_size


def _check_together(adapters: Sequence[Adapter]) -> None:
    """What replaces weights or, as DoRA, scales all of a row, cannot be added up."""
    for place, adapter in enumerate(adapters):
        for module, change in adapter.changes.items():
            shared = any(
                module in other.changes for other in (*adapters[:place], *adapters[place + 1 :])
            )
            if change.counts_whole and (shared or adapter.weight != 1):
                raise ConvertError(
                    f"{adapter.path}: {module} {change.counts_whole}, which counts whole and "
                    "alone: no weight but 1, and no other adapter of that module"
                )
