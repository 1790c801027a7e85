"""Names of tensors in Hugging Face models and in GGUF, and the row order that RoPE needs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from baize_convert.quantization.ggml import Float32
from baize_convert.sources.architectures import Architecture
from baize_convert.sources.model_config import ModelConfig
from baize_convert.sources.modules import TOP, Bias, Module

_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")
_SKIPPED = (
    ".attention.bias",
    ".attention.masked_bias",
    "rotary_emb.inv_freq",
    "rotary_emb.original_inv_freq",
    "rotary_emb.cos_cached",
    "rotary_emb.sin_cached",
    "position_ids",
    "._extra_state",  # of layers of NVIDIA's Transformer Engine
)
_VISION = re.compile(r"(?:model\.)?(?:vision_tower|multi_modal_projector)\.")


@dataclass(frozen=True)
class ModuleName:
    """A module by its Hugging Face name (``model.layers.3.self_attn.q_proj``), the ``source``, and
    its GGUF name (``blk.3.attn_q``), the ``target``."""

    source: str
    target: str
    shape: tuple[int, ...]
    """The shape of its weight; its bias has the first of these dimensions."""
    may_have_bias: bool = False
    """Whether the config says that it has a bias."""
    permuted_heads: int = 0
    """Heads whose rows are interleaved in GGUF; 0 if the rows keep their order."""
    shift: float = 0.0
    """What is added to its weight in GGUF."""


def module_names(config: ModelConfig) -> dict[str, ModuleName]:
    """All modules of a model by Hugging Face name."""
    names = {module.source: _module_name(module, config, "", "") for module in TOP}
    for layer in range(config.num_hidden_layers):
        for module in config.architecture.layer:
            name = _module_name(module, config, f"model.layers.{layer}.", f"blk.{layer}.")
            names[name.source] = name
    return names


def _module_name(module: Module, config: ModelConfig, source: str, target: str) -> ModuleName:
    """``module`` in a model with this config; ``source`` and ``target`` precede its names."""
    architecture = config.architecture
    sizes = (module.rows,) if module.columns is None else (module.rows, module.columns)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.kv_heads}
    return ModuleName(
        source + module.source,
        target + module.target,
        tuple(int(getattr(config, size)) for size in sizes),
        _has_bias(module.bias, config),
        heads.get(module.target, 0) if architecture.interleaves_rows else 0,
        architecture.norm_shift if module.is_norm else 0.0,
    )


def _has_bias(bias: Bias, config: ModelConfig) -> bool:
    match bias:
        case "attention_bias":
            return config.attention_bias
        case "mlp_bias":
            return config.mlp_bias
    return bias == "always"


def source_module(architecture: Architecture, target: str) -> str | None:
    """The Hugging Face name of the module ``target`` of a GGUF; None if there is no such module."""
    block = _BLOCK.fullmatch(target)
    modules = TOP if block is None else architecture.layer
    short = target if block is None else block[2]
    source = next((module.source for module in modules if module.target == short), None)
    if source is None or block is None:
        return source
    return f"model.layers.{int(block[1])}.{source}"


def is_skipped(name: str, *, multimodal: bool = False) -> bool:
    """Whether this tensor is left out.

    It can be computed, or belongs to the vision part of a model that is ``multimodal``. llama.cpp's
    converter leaves out most of them; transformers ignores those that can be computed.
    """
    return name.endswith(_SKIPPED) or (multimodal and is_vision(name))


def is_vision(name: str) -> bool:
    """Whether a tensor or module belongs to the vision part of a model."""
    return _VISION.match(name) is not None


def permute_rows(rows: Float32, heads: int) -> Float32:
    """Rows of whole heads in the order that llama.cpp's RoPE needs.

    Hugging Face rotates the halves of a head, llama.cpp rotates neighbouring rows
    (``LlamaModel.permute`` of convert_hf_to_gguf). ``rows`` is [heads * head_size, columns].
    """
    count, columns = rows.shape
    return (
        rows.reshape(heads, 2, count // heads // 2, columns).swapaxes(1, 2).reshape(count, columns)
    )


def unpermute_rows(rows: Float32, heads: int) -> Float32:
    """The inverse of ``permute_rows``."""
    count, columns = rows.shape
    return (
        rows.reshape(heads, count // heads // 2, 2, columns).swapaxes(1, 2).reshape(count, columns)
    )


def sort_key(name: str) -> tuple[int, int, str]:
    """The order of llama-quantize: tensors outside layers first, then by layer, then by name."""
    match = re.match(r"blk\.(\d+)\.", name)
    return (0, 0, name) if match is None else (1, int(match[1]), name)
