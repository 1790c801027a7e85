"""Which type each tensor gets: the rules of llama-quantize for dense LLaMA-like models.

Source: ``llama_tensor_get_type_impl``, ``tensor_type_fallback`` and ``tensor_allows_quantization``
in llama.cpp's src/llama-quant.cpp. The tests ask ``llama_model_quantize`` itself with ``dry_run``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from baize_convert.quantization.ggml import GgmlType, block_columns
from baize_convert.quantization.outtypes import Outtype

_LAYER = re.compile(r"blk\.(\d+)\.")
_FALLBACK = {
    GgmlType.IQ4_XS: GgmlType.IQ4_NL,
    GgmlType.Q2_K: GgmlType.Q4_0,
    GgmlType.Q3_K: GgmlType.Q4_0,
    GgmlType.Q4_K: GgmlType.Q5_0,
    GgmlType.Q5_K: GgmlType.Q5_1,
    GgmlType.Q6_K: GgmlType.Q8_0,
}


@dataclass(frozen=True)
class ModelShape:
    """What the rules look at besides names and shapes."""

    layers: int
    heads: int
    kv_heads: int
    architecture: str = "llama"

    @property
    def is_70b(self) -> bool:
        """llama.cpp's ``LLM_TYPE_70B``: 80 layers, and in a LLaMA grouped-query attention."""
        if self.layers != 80:
            return False
        return self.architecture == "qwen2" or (
            self.architecture == "llama" and self.heads != self.kv_heads
        )


@dataclass(frozen=True)
class TypeChoice:
    """The type of a tensor; ``wanted`` is another one where its width does not fit that."""

    type: GgmlType
    wanted: GgmlType

    @property
    def fell_back(self) -> bool:
        return self.type != self.wanted


def tensor_types(
    shapes: Mapping[str, tuple[int, ...]],
    outtype: Outtype,
    model: ModelShape,
    *,
    has_imatrix: bool = False,
) -> dict[str, TypeChoice]:
    """The type of each tensor; ``shapes`` are rows first, by GGUF name."""
    tied = "output.weight" not in shapes
    return {
        name: _choice(name, shape, outtype, model, tied=tied, has_imatrix=has_imatrix)
        for name, shape in shapes.items()
    }


def is_quantizable(name: str, shape: tuple[int, ...]) -> bool:
    """Whether this tensor may have another type than F32 (``tensor_allows_quantization``)."""
    return len(shape) >= 2 and name.endswith("weight") and "_norm.weight" not in name


def _choice(
    name: str,
    shape: tuple[int, ...],
    outtype: Outtype,
    model: ModelShape,
    *,
    tied: bool,
    has_imatrix: bool,
) -> TypeChoice:
    if not is_quantizable(name, shape):
        return TypeChoice(GgmlType.F32, GgmlType.F32)
    if not outtype.quantized:
        return TypeChoice(outtype.default, outtype.default)
    columns = shape[-1]
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        wanted = _output_type(outtype.default, columns)
    else:
        wanted = _inner_type(name, outtype, model, has_imatrix=has_imatrix)
    return TypeChoice(_fitting(wanted, columns), wanted)


def _output_type(default: GgmlType, columns: int) -> GgmlType:
    if columns % block_columns(default) or default == GgmlType.Q8_0:
        return GgmlType.Q8_0
    return GgmlType.Q6_K


def _more_bits(layer: int, layers: int) -> bool:
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _inner_type(name: str, outtype: Outtype, model: ModelShape, *, has_imatrix: bool) -> GgmlType:
    found = _LAYER.match(name)
    layer = int(found[1]) if found else 0
    layers, kind = model.layers, outtype.name
    more = _more_bits(layer, layers)
    type = outtype.default
    if name.endswith("attn_v.weight"):
        groups = model.heads // model.kv_heads
        if kind == "Q2_K":
            type = GgmlType.Q4_K if groups >= 4 else GgmlType.Q3_K
        elif kind == "Q3_K_M":
            type = GgmlType.Q5_K if layer < 2 else GgmlType.Q4_K
        elif kind in ("IQ4_NL", "IQ4_XS") and groups >= 4:
            type = GgmlType.Q5_K
        elif kind in ("Q4_K_M", "Q5_K_M") and more:
            type = GgmlType.Q6_K
        elif kind == "Q4_K_S" and layer < 4:
            type = GgmlType.Q5_K
        if model.is_70b and type in (GgmlType.Q3_K, GgmlType.Q4_K):
            type = GgmlType.Q5_K
    elif name.endswith("ffn_down.weight"):
        first = layer < layers // 8
        if kind == "Q2_K":
            type = GgmlType.Q3_K
        elif kind == "Q3_K_M":
            type = GgmlType.Q5_K if layer < layers // 16 else GgmlType.Q4_K
        elif kind in ("Q4_K_M", "Q5_K_M") and more:
            type = GgmlType.Q6_K
        elif (kind in ("IQ4_NL", "IQ4_XS") and first and not has_imatrix) or (
            kind == "Q4_K_S" and first
        ):
            type = GgmlType.Q5_K
        elif kind in ("Q4_0", "Q5_0") and has_imatrix and first:
            type = GgmlType.Q4_1 if kind == "Q4_0" else GgmlType.Q5_1
    elif name.endswith("attn_output.weight"):
        if kind == "Q2_K":
            type = GgmlType.Q3_K
        elif kind == "Q3_K_M":
            type = GgmlType.Q4_K
    return type


def _fitting(type: GgmlType, columns: int) -> GgmlType:
    if columns % block_columns(type) == 0:
        return type
    narrow = _FALLBACK.get(type, type)
    return narrow if columns % block_columns(narrow) == 0 else GgmlType.F16
