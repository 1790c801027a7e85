"""How much of an adapter's changes quantization destroys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class QuantizationLoss:
    """Squared norms of the quantization error and of the adapters' changes, by GGUF tensor name.

    Tensors that no adapter changes are left out.
    """

    error: dict[str, float] = field(default_factory=dict)
    added: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, error: float, added: float) -> None:
        """Count rows of a tensor; ``error`` and ``added`` are squared norms."""
        if added:
            self.error[name] = self.error.get(name, 0.0) + error
            self.added[name] = self.added.get(name, 0.0) + added

    def ratio(self, names: Sequence[str] | None = None) -> float:
        """The norm of the error over that of the changes, in ``names`` or in all tensors.

        Below 1 most of the changes survive.
        """
        chosen = list(self.added) if names is None else names
        added = sum(self.added[name] for name in chosen)
        return math.sqrt(sum(self.error[name] for name in chosen) / added) if added else 0.0

    def worst(self) -> str:
        """The tensor with the highest ratio; there must be one."""
        return max(self.added, key=lambda name: self.ratio([name]))
