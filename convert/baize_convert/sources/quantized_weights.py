"""Quantized checkpoints: those that are read by their scales, and those that are refused by name.

The types of the tensors decide, not ``quantization_config``: programs leave it in the config of a
model that they have made 16 bits of.

Read are float8 and integers of 8 bits with a scale for each tensor, row, group of columns or block,
and integers of 4 or 8 bits that compressed-tensors packs into I32.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baize_convert.failures import ConvertError
from baize_convert.sources.scaled_tensor import TABLES, BlockValues, ScaledTensor
from baize_convert.sources.tensors import ITEM_BYTES, StoredTensor, Tensor

_FOREIGN: tuple[tuple[str, str], ...] = (
    (r".*\.(?:absmax|quant_map|nested_absmax|nested_quant_map|SCB|weight_format)", "bitsandbytes"),
    (r".*\.quant_state\.bitsandbytes__\w+", "bitsandbytes"),
    (r".*\.biases", "MLX"),
    (r".*\.(?:qweight|qzeros|g_idx|scales)", "GPTQ or AWQ"),
    (r".*\.(?:weight_scale_2|weight_global_scale|input_global_scale)", "NVFP4"),
    (r".*\.weight_g_idx", "compressed-tensors with reordered columns"),
    (r".*\.(?:compressed|bitmask)", "compressed-tensors with sparse matrices"),
    (r".*\.(?:W_q|meta)", "HQQ"),
    (r".*\.(?:codebooks|codes)", "AQLM"),
    (r".*\.weight\._(?:data|scale|shift)", "Quanto"),
    (r".*(?::qdata|_weight_qdata)", "torchao"),
    (r".*\.weight_scales", "EETQ"),
    (r".*_(?:blocks|scales)", "MXFP4"),
)
"""Names that only one way to quantize has."""
_OF_ACTIVATIONS = re.compile(
    r".*\.(?:(?:input|output|activation|q|k|v|kv|prob)_(?:scale|zero_point)|input_scale_ub)"
)
_SCALES = ("weight_scale", "weight_scale_inv")
_PARTS = re.compile(
    r"(?P<module>.*)\.(?P<part>weight_packed|weight_shape|weight_zero_point|weight_scale(?:_inv)?)"
)
_CODES = ("F8_E4M3", "F8_E5M2", "I8")
_SCALE_TYPES = (*ITEM_BYTES, "F8_E8M0", "U8")
_BLOCK = 128, 128
"""Rows and columns of a block, where the config does not say; the size of DeepSeek and Qwen."""
_ADVICE = "use the model it was made from, in 16 or 32 bits"


def read_quantized(
    where: Path,
    tensors: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    quantization: Mapping[str, Any] | None,
) -> tuple[dict[str, Tensor], list[str]]:
    """``tensors`` with quantized ones as float32, without their scales; and notes, a line each.

    ``shapes`` are those of the model, ``quantization`` is ``quantization_config``.

    Raises:
        ConvertError: tensors are quantized in another way; the message names it.
    """
    method = str((quantization or {}).get("quant_method", "")) or None
    _refuse_computing(where, quantization)
    _refuse_foreign(where, tensors, method)
    kept, parts, activations = _sorted_by_role(tensors)
    read: dict[str, Tensor] = {}
    for name, tensor in kept.items():
        module = name.removesuffix(".weight")
        codes = parts.get(module, {}).get("weight_packed") or tensor
        is_weight = name.endswith(".weight") and isinstance(codes, StoredTensor)
        if not is_weight or codes.dtype in ITEM_BYTES:
            read[name] = tensor
        else:
            assert isinstance(codes, StoredTensor)
            scales = parts.pop(module, {})
            read[name] = _scaled(where, name, codes, scales, shapes.get(name), quantization)
    if parts:
        module, others = min(parts.items())
        raise ConvertError(
            f"{where}: {module}.{min(others)} belongs to no quantized tensor: the checkpoint "
            f"lacks a part, or quantizes its 16-bit weights only while it runs: {_ADVICE}"
        )
    notes = _notes(where, read, method, quantization)
    if activations:
        notes.append(
            f"{where}: {activations} scales of activations are left out: llama.cpp computes with "
            "unquantized activations"
        )
    return read, notes


def _refuse_computing(where: Path, quantization: Mapping[str, Any] | None) -> None:
    """Refuse models that compute with other numbers than their weights, even 16-bit ones.

    ``AutoBitLinear`` of transformers' integrations/bitnet.py rounds weights to -1, 0 and 1 as it
    runs, and ``transform_config`` of compressed-tensors rotates what goes into a module.
    """
    quantization = quantization or {}
    if str(quantization.get("quant_method", "")).lower() == "bitnet":
        raise ConvertError(
            f"{where}: quantization_config in config.json says BitNet: the model rounds its "
            "weights to -1, 0 and 1 while it runs, which llama.cpp does not compute for this "
            "architecture: use another model"
        )
    transforms = quantization.get("transform_config")
    if transforms and (not isinstance(transforms, dict) or transforms.get("config_groups", True)):
        raise ConvertError(
            f"{where}: transform_config in config.json rotates weights and activations while the "
            f"model runs, which llama.cpp does not compute: {_ADVICE}"
        )


def _refuse_foreign(where: Path, tensors: Mapping[str, Tensor], method: str | None) -> None:
    for pattern, format in _FOREIGN:
        for name in tensors:
            if re.fullmatch(pattern, name):
                if method is not None and method.lower() in format.lower().split(" or "):
                    format = method
                raise ConvertError(f"{where} is quantized with {format} ({name}): {_ADVICE}")


def _sorted_by_role(
    tensors: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, dict[str, StoredTensor]], int]:
    """Tensors of the model, the parts of quantized ones by module, and the scales of activations.

    A packed tensor is among the first too, as the weight of its module.
    """
    kept: dict[str, Tensor] = {}
    parts: dict[str, dict[str, StoredTensor]] = {}
    activations = 0
    for name, tensor in tensors.items():
        match = _PARTS.fullmatch(name)
        if _OF_ACTIVATIONS.fullmatch(name):
            activations += 1
            if isinstance(tensor, StoredTensor):
                tensor.skip()
        elif match is None or not isinstance(tensor, StoredTensor):
            kept[name] = tensor
        else:
            parts.setdefault(match["module"], {})[match["part"]] = tensor
            if match["part"] == "weight_packed":
                kept[f"{match['module']}.weight"] = tensor
    return kept, parts, activations


def _scaled(
    where: Path,
    name: str,
    codes: StoredTensor,
    parts: Mapping[str, StoredTensor],
    shape: tuple[int, ...] | None,
    quantization: Mapping[str, Any] | None,
) -> ScaledTensor:
    """The tensor ``name``, stored as ``codes``, with the scales in ``parts``."""
    packed = "weight_packed" in parts
    scales = [parts[part] for part in _SCALES if part in parts]
    if codes.dtype in TABLES and not parts and not quantization:
        return ScaledTensor(name, codes.dtype, codes.shape, codes)  # all of the model is float8
    if packed and codes.dtype == "U8":
        raise ConvertError(f"{where} is quantized with MXFP4 ({name}): {_ADVICE}")
    if len(codes.shape) != 2 or (codes.dtype != "I32" if packed else codes.dtype not in _CODES):
        raise ConvertError(
            f"{where}: {name} is {codes.dtype} {list(codes.shape)}, in a way to quantize that is "
            f"not known: {_ADVICE}"
        )
    if codes.dtype == "I8" and "weight_scale_inv" in parts:
        raise ConvertError(f"{where}: {name} is quantized to packed FP4: {_ADVICE}")
    bits, columns = None, codes.shape[1]
    if packed:
        columns = shape[1] if shape is not None and len(shape) == 2 else 8 * columns
        bits = {8 * codes.shape[1]: 4, 4 * codes.shape[1]: 8}.get(columns)
        if bits is None:
            raise ConvertError(
                f"{where}: {name} is packed with {32 * codes.shape[1] / max(columns, 1):g} bits a "
                f"weight; only 4 and 8 can be read: {_ADVICE}"
            )
    if "weight_shape" in parts:
        parts["weight_shape"].skip()
    rows = codes.shape[0]
    if len(scales) != 1:
        raise ConvertError(
            f"{where}: {name} is {codes.dtype} and has {len(scales)} scales, not one: {_ADVICE}"
        )
    scale = _blocks(where, name, scales[0], (rows, columns), quantization)
    zeros = parts.get("weight_zero_point")
    zero_point = None if zeros is None else _zero_point(where, name, zeros, scale, bits)
    return ScaledTensor(
        name, codes.dtype, (rows, columns), codes, scale, zero_point, packed_bits=bits
    )


def _blocks(
    where: Path,
    name: str,
    scale: StoredTensor,
    shape: tuple[int, int],
    quantization: Mapping[str, Any] | None,
) -> BlockValues:
    """``scale`` of a tensor of this shape, with the size of the block that each number is for."""
    if scale.dtype not in _SCALE_TYPES:
        raise ConvertError(f"{where}: the scales of {name} have the type {scale.dtype}: {_ADVICE}")
    rows, columns = shape
    if len(scale.shape) <= 2 and 0 not in scale.shape:
        grid = ((*scale.shape, 1, 1)[0], (*scale.shape, 1, 1)[1])
        if grid == (1, 1):
            return BlockValues(scale, grid, rows, columns)
        if grid[0] == rows and columns % grid[1] == 0:
            return BlockValues(scale, grid, 1, columns // grid[1])
        for block in _configured_blocks(quantization) or [_BLOCK]:
            if grid == (-(-rows // block[0]), -(-columns // block[1])):
                return BlockValues(scale, grid, *block)
    raise ConvertError(
        f"{where}: {name} is {list(shape)}, and its scales {list(scale.shape)} do not divide it "
        f"into blocks of a known size: {_ADVICE}"
    )


def _configured_blocks(quantization: Mapping[str, Any] | None) -> list[tuple[int, int]]:
    """``weight_block_size``, and each ``block_structure`` of compressed-tensors."""
    quantization = quantization or {}
    candidates = [quantization.get("weight_block_size")]
    groups = quantization.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        candidates.append(weights.get("block_structure") if isinstance(weights, dict) else None)
    return [
        (candidate[0], candidate[1])
        for candidate in candidates
        if isinstance(candidate, list)
        and len(candidate) == 2
        and all(isinstance(size, int) and size > 0 for size in candidate)
    ]


def _zero_point(
    where: Path, name: str, zeros: StoredTensor, scale: BlockValues, bits: int | None
) -> BlockValues:
    """``zeros`` for the same blocks as ``scale``; in a packed tensor they are packed too."""
    blocks = scale.shape[0] * scale.shape[1]
    size = zeros.rows * zeros.columns
    if bits is not None and zeros.dtype == "I32" and len(zeros.shape) == 2:
        packed_rows = -(-scale.shape[0] * bits // 32)
        if zeros.shape == (packed_rows, scale.shape[1]):
            return BlockValues(zeros, scale.shape, scale.rows, scale.columns, packed_bits=bits)
    elif zeros.dtype in (*ITEM_BYTES, *_CODES, "I16", "I32", "I64") and size == blocks:
        return BlockValues(zeros, scale.shape, scale.rows, scale.columns)
    raise ConvertError(
        f"{where}: the zero points of {name} are {zeros.dtype} {list(zeros.shape)}, which does not "
        f"fit its scales: {_ADVICE}"
    )


def _notes(
    where: Path,
    tensors: Mapping[str, Tensor],
    method: str | None,
    quantization: Mapping[str, Any] | None,
) -> list[str]:
    scaled = [tensor for tensor in tensors.values() if isinstance(tensor, ScaledTensor)]
    if scaled:
        types = ", ".join(
            "packed I32" if type == "I32" else type
            for type, _ in Counter(tensor.dtype for tensor in scaled).most_common()
        )
        return [
            f"{where}: {len(scaled)} tensors are quantized already ({types}), and lost precision "
            "with it: the model they were made from, in 16 bits, gives a better result"
        ]
    if quantization:
        types = ", ".join(sorted({tensor.dtype for tensor in tensors.values()}))
        return [
            f"{where}: quantization_config ({method or 'without a method'}) in config.json is "
            f"ignored: the weights are {types}"
        ]
    return []
