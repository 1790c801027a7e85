"""What a model takes, estimated from its recipe alone: nothing is asked of the hub."""

from __future__ import annotations

import re
from collections.abc import Mapping

from baize_convert.quantization.outtype_names import OuttypeName
from baize_tui.catalog.fit import Fit, Machine
from baize_tui.catalog.recipes import Recipe

_BITS: Mapping[OuttypeName, float] = {
    "F32": 32,
    "F16": 16,
    "BF16": 16,
    "Q8_0": 8.5,
    "Q6_K": 6.56,
    "Q5_K_M": 5.7,
    "Q5_K_S": 5.54,
    "Q5_1": 6,
    "Q5_0": 5.5,
    "Q4_K_M": 4.85,
    "Q4_K_S": 4.58,
    "Q4_1": 5,
    "Q4_0": 4.55,
    "IQ4_NL": 4.5,
    "IQ4_XS": 4.3,
    "Q3_K_M": 3.9,
    "Q2_K": 3.2,
}
"""Bits per weight; some tensors of a K-type have another type, so that models differ by a tenth."""
_MORE_MEMORY = 1.1
"""Memory of a model with a context of some thousand tokens, over the size of its file."""
_LEAST_MEMORY = 300_000_000
"""Bytes of the program and its buffers."""


def estimated_bytes(recipe: Recipe) -> int | None:
    """Size of the GGUF; None if the recipe does not say how many weights it has."""
    if recipe.parameters is None:
        return None
    outtype = recipe.outtype
    if recipe.repository is not None:
        named = (type for type in _BITS if re.search(rf"\b{type}\b", (recipe.file or "").upper()))
        outtype = next(named, recipe.outtype)
    return int(recipe.parameters * _BITS[outtype] / 8)


def estimated_fit(size: int, machine: Machine) -> Fit:
    """Whether a model of ``size`` bytes is likely to fit; llama.cpp knows it from its header."""
    needed = size * _MORE_MEMORY + _LEAST_MEMORY
    if needed <= machine.budget:
        return "fits"
    return "tight" if needed <= machine.memory_free else "does not fit"
