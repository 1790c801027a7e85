"""Names of tensors in Hugging Face models and in GGUF, and the row order that RoPE needs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from baize_convert.quantization.ggml import Float32
from baize_convert.sources.model_config import ModelConfig

_TOP = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
_IN_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_HEAD_NORMS = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")
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


@dataclass(frozen=True)
class ModuleName:
    """A module by its Hugging Face name (``model.layers.3.self_attn.q_proj``), the ``source``, and
    its GGUF name (``blk.3.attn_q``), the ``target``."""

    source: str
    target: str
    permuted_heads: int = 0
    """Heads whose rows are interleaved in GGUF; 0 if the rows keep their order."""


def module_names(config: ModelConfig) -> dict[str, ModuleName]:
    """All modules of a model by Hugging Face name."""
    names = {source: ModuleName(source, target) for source, target in _TOP.items()}
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.kv_heads}
    if not config.architecture.interleaves_rows:
        heads.clear()
    in_layer = {**_IN_LAYER, **_HEAD_NORMS} if config.architecture.head_norms else _IN_LAYER
    for layer in range(config.num_hidden_layers):
        for source, target in in_layer.items():
            name = f"model.layers.{layer}.{source}"
            names[name] = ModuleName(name, f"blk.{layer}.{target}", heads.get(target, 0))
    return names


_SOURCES = {target: source for source, target in _TOP.items()}
_SOURCES_IN_LAYER = {target: source for source, target in {**_IN_LAYER, **_HEAD_NORMS}.items()}
_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")


def source_module(target: str) -> str | None:
    """The Hugging Face name of the module ``target`` of a GGUF; None if there is no such module."""
    block = _BLOCK.fullmatch(target)
    if block is None:
        return _SOURCES.get(target)
    source = _SOURCES_IN_LAYER.get(block[2])
    return None if source is None else f"model.layers.{int(block[1])}.{source}"


def is_skipped(name: str) -> bool:
    """Whether this tensor is left out, because it can be computed.

    llama.cpp's converter leaves out most of them; transformers ignores them all.
    """
    return name.endswith(_SKIPPED)


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
