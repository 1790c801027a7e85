"""The type of each tensor, by the rules of llama-quantize for dense models.

Source: ``llama_tensor_get_type_impl``, ``tensor_type_fallback`` and ``tensor_allows_quantization``
in llama.cpp's src/llama-quant.cpp. The tests compare with a dry run of ``llama_model_quantize``.
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
    """The numbers that the rules use besides names and shapes of tensors."""

    layers: int
    heads: int
    kv_heads: int
    architecture: str = "llama"

    @property
    def is_70b(self) -> bool:
        """``LLM_TYPE_70B`` of llama.cpp: 80 layers, and in a LLaMA also grouped-query attention."""
        if self.layers != 80:
            return False
        return self.architecture == "qwen2" or (
            self.architecture == "llama" and self.heads != self.kv_heads
        )


@dataclass(frozen=True)
class TypeChoice:
    """The type of a tensor, and the type it would have if its columns fitted the blocks of that."""

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
    """The type of each tensor; ``shapes`` are [rows, columns] or [columns], by GGUF name."""
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
        wanted = _layer_type(name, outtype, model, has_imatrix=has_imatrix)
    return TypeChoice(_fitting_type(wanted, columns), wanted)


def _output_type(default: GgmlType, columns: int) -> GgmlType:
    if columns % block_columns(default) or default == GgmlType.Q8_0:
        return GgmlType.Q8_0
    return GgmlType.Q6_K


def _layer_type(name: str, outtype: Outtype, model: ModelShape, *, has_imatrix: bool) -> GgmlType:
    match = _LAYER.match(name)
    layer = int(match[1]) if match else 0
    if name.endswith(("attn_v.weight", "attn_qkv.weight")):  # ``category_is_attn_v``
        type = _attn_v_type(layer, outtype, model)
        if model.is_70b and type in (GgmlType.Q3_K, GgmlType.Q4_K):
            return GgmlType.Q5_K
        return type
    if name.endswith("ffn_down.weight"):
        return _ffn_down_type(layer, outtype, model, has_imatrix=has_imatrix)
    if name.endswith("attn_output.weight"):
        return {"Q2_K": GgmlType.Q3_K, "Q3_K_M": GgmlType.Q4_K}.get(outtype.name, outtype.default)
    return outtype.default


def _attn_v_type(layer: int, outtype: Outtype, model: ModelShape) -> GgmlType:
    heads_per_group = model.heads // model.kv_heads
    match outtype.name:
        case "Q2_K":
            return GgmlType.Q4_K if heads_per_group >= 4 else GgmlType.Q3_K
        case "Q3_K_M":
            return GgmlType.Q5_K if layer < 2 else GgmlType.Q4_K
        case "IQ4_NL" | "IQ4_XS" if heads_per_group >= 4:
            return GgmlType.Q5_K
        case "Q4_K_M" | "Q5_K_M" if _gets_more_bits(layer, model.layers):
            return GgmlType.Q6_K
        case "Q4_K_S" if layer < 4:
            return GgmlType.Q5_K
    return outtype.default


def _ffn_down_type(
    layer: int, outtype: Outtype, model: ModelShape, *, has_imatrix: bool
) -> GgmlType:
    in_first_eighth = layer < model.layers // 8
    match outtype.name:
        case "Q2_K":
            return GgmlType.Q3_K
        case "Q3_K_M":
            return GgmlType.Q5_K if layer < model.layers // 16 else GgmlType.Q4_K
        case "Q4_K_M" | "Q5_K_M" if _gets_more_bits(layer, model.layers):
            return GgmlType.Q6_K
        case "IQ4_NL" | "IQ4_XS" if in_first_eighth and not has_imatrix:
            return GgmlType.Q5_K
        case "Q4_K_S" if in_first_eighth:
            return GgmlType.Q5_K
        case "Q4_0" if in_first_eighth and has_imatrix:
            return GgmlType.Q4_1
        case "Q5_0" if in_first_eighth and has_imatrix:
            return GgmlType.Q5_1
    return outtype.default


def _gets_more_bits(layer: int, layers: int) -> bool:
    """``use_more_bits`` of llama.cpp: the first and last eighth, and every third layer between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _fitting_type(type: GgmlType, columns: int) -> GgmlType:
    """``type``, or the one that llama.cpp uses if its blocks do not fit the columns."""
    if columns % block_columns(type) == 0:
        return type
    narrower = _FALLBACK.get(type, type)
    return narrower if columns % block_columns(narrower) == 0 else GgmlType.F16
