"""The changes of adapters to the rows of one tensor, a slab at a time, in float32.

Maths: ``LoraLayer.get_delta_weight`` and ``merge`` of peft/tuners/lora/layer.py, the variants of
DoRA in variants.py, and ``TrainableTokensLayer.merge`` of peft/tuners/trainable_tokens/layer.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from baize_convert.quantization.ggml import Float32
from baize_convert.sources.tensors import Tensor

_ROWS_AT_ONCE = 4096


class RowChange(Protocol):
    """One step of a merge."""

    def apply(self, rows: Float32, first: int) -> Float32:
        """``rows`` [n, columns], the first of which is row ``first``, after this step."""


@dataclass(frozen=True)
class LowRank:
    """Adds ``weight * scale * B @ A``; A is [r, in], B [out, r]."""

    a: Tensor
    b: Tensor
    scale: float
    weight: float = 1.0

    def apply(self, rows: Float32, first: int) -> Float32:
        return rows + np.float32(self.weight) * self.delta(first, len(rows))

    def delta(self, first: int, count: int) -> Float32:
        """The rows that are added, before ``weight`` is applied."""
        product: Float32 = self.b.read(first, count) @ self.a.read()
        return product * np.float32(self.scale)


@dataclass(frozen=True)
class EmbeddingLowRank(LowRank):
    """Adds ``(B @ A)^T`` to an embedding; A is [r, vocabulary], B [hidden, r]."""

    def delta(self, first: int, count: int) -> Float32:
        product: Float32 = self.a.read_columns(first, count) @ self.b.read().T
        return product * np.float32(self.scale)


@dataclass(frozen=True)
class Dora:
    """DoRA: scales each row, after the addition, to the norm in ``magnitude`` [out]."""

    low_rank: LowRank
    magnitude: Tensor

    def apply(self, rows: Float32, first: int) -> Float32:
        merged = self.low_rank.apply(rows, first)
        magnitude = self.magnitude.read_all().reshape(-1)[first : first + len(rows)]
        factor = magnitude / np.linalg.norm(merged, axis=1)
        scaled: Float32 = factor[:, None].astype(np.float32) * merged
        return scaled


@dataclass(frozen=True)
class EmbeddingDora:
    """DoRA of an embedding: scales each column, after the addition, to ``magnitude`` [hidden].

    A column spans all rows, so the norms take another read of all of ``source``.
    """

    low_rank: EmbeddingLowRank
    magnitude: Tensor
    source: Tensor

    def apply(self, rows: Float32, first: int) -> Float32:
        return self._factor * self.low_rank.apply(rows, first)

    @cached_property
    def _factor(self) -> Float32:
        squares = np.zeros(self.source.columns)
        for first in range(0, self.source.rows, _ROWS_AT_ONCE):
            count = min(_ROWS_AT_ONCE, self.source.rows - first)
            merged = self.low_rank.apply(self.source.read(first, count), first)
            squares += np.square(merged, dtype=np.float64).sum(axis=0)
        norms = np.sqrt(squares)
        return (self.magnitude.read_all().reshape(-1) / norms).astype(np.float32)[None, :]


@dataclass(frozen=True)
class BiasShift:
    """Adds ``factor * values`` [out], the bias of a LoRA layer, to a bias [1, out]."""

    values: Tensor
    factor: float

    def apply(self, rows: Float32, first: int) -> Float32:
        added: Float32 = self.values.read_all().reshape(1, -1) * np.float32(self.factor)
        return rows + added


@dataclass(frozen=True)
class TokenRows:
    """Replaces the rows of the tokens ``ids`` by trained rows."""

    ids: tuple[int, ...]
    values: Tensor

    def apply(self, rows: Float32, first: int) -> Float32:
        here = [
            (place, id - first)
            for place, id in enumerate(self.ids)
            if first <= id < first + len(rows)
        ]
        if not here:
            return rows
        changed = rows.copy()
        for place, row in here:
            changed[row] = self.values.read(place, 1)[0]
        return changed
