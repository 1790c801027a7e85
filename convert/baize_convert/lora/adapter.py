"""An adapter in memory: what it changes in which module."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from baize_convert.failures import ConvertError
from baize_convert.lora.peft_config import AdapterConfig
from baize_convert.lora.row_changes import (
    BiasShift,
    Dora,
    EmbeddingDora,
    EmbeddingLowRank,
    LowRank,
    RowChange,
    TokenRows,
)
from baize_convert.sources.architectures import Architecture
from baize_convert.sources.byte_source import ByteSource
from baize_convert.sources.tensors import Tensor

EMBEDDING, HEAD = "model.embed_tokens", "lm_head"
TensorPart = Literal["weight", "bias"]
"""The tensors that a module may have."""


@dataclass
class ModuleChange:
    """What an adapter does to one module; ``scale`` is alpha / r, or alpha / sqrt(r) (rsLoRA)."""

    a: Tensor | None = None
    """[r, in]"""
    b: Tensor | None = None
    """[out, r]"""
    scale: float = 0.0
    magnitude: Tensor | None = None
    """The magnitude of DoRA, [out]; of an embedding, [hidden]."""
    bias: Tensor | None = None
    """The bias of lora_B, [out]."""
    token_ids: tuple[int, ...] = ()
    token_rows: Tensor | None = None
    """[tokens, hidden]"""
    replaced: dict[TensorPart, Tensor] = field(default_factory=dict)
    """Trained tensors that replace those of the base."""
    base_copies: dict[TensorPart, Tensor] = field(default_factory=dict)
    """Tensors of the base that were saved with the adapter, such as a resized embedding."""
    is_embedding: bool = False

    def source(self, part: TensorPart) -> Tensor | None:
        """The tensor that takes the place of the base's, before low-rank changes; None if none."""
        return self.replaced.get(part, self.base_copies.get(part))

    @property
    def rank(self) -> int:
        return 0 if self.a is None else self.a.shape[0]

    def weight_changes(self, source: Tensor, weight: float) -> list[RowChange]:
        """The steps that change the module's weight, starting from ``source``."""
        steps: list[RowChange] = []
        if self.a is not None and self.b is not None:
            if self.is_embedding:
                embedding = EmbeddingLowRank(self.a, self.b, self.scale, weight)
                steps.append(
                    embedding
                    if self.magnitude is None
                    else EmbeddingDora(embedding, self.magnitude, source)
                )
            else:
                low_rank = LowRank(self.a, self.b, self.scale, weight)
                steps.append(low_rank if self.magnitude is None else Dora(low_rank, self.magnitude))
        if self.token_rows is not None:
            steps.append(TokenRows(self.token_ids, self.token_rows))
        return steps

    def bias_changes(self, weight: float) -> list[RowChange]:
        """The steps that change the module's bias."""
        return [] if self.bias is None else [BiasShift(self.bias, self.scale * weight)]

    @property
    def exclusive_reason(self) -> str | None:
        """Why this takes no weight and cannot be added to other changes; None if it can."""
        if self.magnitude is not None:
            return "is DoRA"
        if self.token_rows is not None:
            return "has trained tokens"
        return "is replaced" if self.replaced else None

    @property
    def is_zero(self) -> bool:
        """Whether it was never trained: A or B is all zero, and nothing else is changed."""
        if self.a is None or self.b is None or self.bias is not None:
            return False
        if self.replaced or self.base_copies or self.token_rows is not None:
            return False
        return not self.a.read().any() or not self.b.read().any()


@dataclass(frozen=True)
class Adapter:
    """An adapter by the modules it changes; ``weight`` multiplies everything it adds."""

    path: Path
    config: AdapterConfig
    changes: dict[str, ModuleChange]
    weight: float
    files: tuple[ByteSource, ...]
    """The files that it was read from; the last one has the weights."""
    name: str
    """The name of its file, folder or repository, from which the output gets its title."""
    architecture: Architecture | None = None
    """The architecture of its base, if the file names it."""
    commit: str | None = None
    """The commit of its repository on the hub; None for local files."""
    parent: Path | None = None
    """The folder that was given, if the adapter was found in one inside it."""
    notes: tuple[str, ...] = ()
    """What a person should know about how it was found; a line each."""

    @property
    def scales(self) -> list[float]:
        """The scales of its low-rank changes, each once, in ascending order."""
        return sorted({change.scale for change in self.changes.values() if change.a is not None})


def refuse_untrained(path: Path, changes: Mapping[str, ModuleChange]) -> None:
    """Refuse an adapter whose low-rank changes have no effect.

    Raises:
        ConvertError: every change, or every scale, is zero.
    """
    if all(change.is_zero for change in changes.values()):
        raise ConvertError(f"{path}: every lora_A or lora_B is zero: the adapter was never trained")
    low_rank = [change for change in changes.values() if change.rank]
    if low_rank and not any(change.scale for change in low_rank):
        raise ConvertError(
            f"{path}: lora_alpha is 0, so that no lora_A and lora_B has an effect: some trainers, "
            "such as verl, save 0; put the alpha of the training into adapter_config.json"
        )


def check_complete(module: str, change: ModuleChange, path: Path) -> None:
    """Check that A, B, magnitude and bias of a module are complete, and fit each other.

    Raises:
        ConvertError: they are not complete or do not fit; the module is named.
    """
    for name, tensor in (*change.replaced.items(), *change.base_copies.items()):
        if 0 in tensor.shape:
            raise ConvertError(
                f"{path}: {module}.{name} is empty: DeepSpeed ZeRO-3 saved it without gathering "
                "it; save the adapter again with the parameters gathered, or remove the tensor "
                "from the file if it was not trained"
            )
    if (change.a is None) != (change.b is None):
        missing = "lora_A" if change.a is None else "lora_B"
        raise ConvertError(f"{path}: {module} has no {missing}: save the adapter again")
    if change.a is None or change.b is None:
        if change.bias is not None or change.magnitude is not None:
            raise ConvertError(
                f"{path}: {module} has no lora_A and no lora_B: save the adapter again"
            )
        return
    for part, matrix in (("lora_A", change.a), ("lora_B", change.b)):
        if len(matrix.shape) != 2 or 0 in matrix.shape:
            raise ConvertError(
                f"{path}: {module}.{part} is {list(matrix.shape)}, not a matrix: DeepSpeed or FSDP "
                "saved one shard alone; save it again with the parameters gathered"
            )
        if not np.isfinite(matrix.read()).all():
            raise ConvertError(
                f"{path}: {module}.{part} contains NaN or infinity: the "
                "training failed; give an earlier checkpoint"
            )
    if change.a.shape[0] != change.b.shape[1]:
        raise ConvertError(
            f"{path}: {module}: lora_A {list(change.a.shape)} and lora_B {list(change.b.shape)} "
            "do not fit each other"
        )
    outputs = change.b.shape[0]
    for part, vector in (("lora_magnitude_vector", change.magnitude), ("lora_B.bias", change.bias)):
        if vector is not None and math.prod(vector.shape) != outputs:
            raise ConvertError(
                f"{path}: {module}: {part} is {list(vector.shape)} for {outputs} outputs"
            )
