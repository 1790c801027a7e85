"""Names of tensors in Hugging Face's models and in GGUF, and whose rows RoPE wants in pairs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from baize_convert.ggml import Float32
from baize_convert.model_config import ModelConfig

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
_SKIPPED = (".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")


@dataclass(frozen=True)
class ModuleName:
    """A module of the model: ``model.layers.3.self_attn.q_proj`` and ``blk.3.attn_q``."""

    source: str
    target: str
    permuted_heads: int = 0
    """Heads whose rows are interleaved; 0 where rows stay in their order."""


def modules(config: ModelConfig) -> dict[str, ModuleName]:
    """All modules of a model by their name in the checkpoint."""
    found = {source: ModuleName(source, target) for source, target in _TOP.items()}
    kind = config.architecture
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.kv_heads}
    if not kind.pairs_rows:
        heads.clear()
    in_layer = {**_IN_LAYER, **_HEAD_NORMS} if kind.head_norms else _IN_LAYER
    for layer in range(config.num_hidden_layers):
        for source, target in in_layer.items():
            name = f"model.layers.{layer}.{source}"
            found[name] = ModuleName(name, f"blk.{layer}.{target}", heads.get(target, 0))
    return found


_SOURCES = {target: source for source, target in _TOP.items()}
_SOURCES_IN_LAYER = {target: source for source, target in {**_IN_LAYER, **_HEAD_NORMS}.items()}
_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")


def source_of(target: str) -> str | None:
    """The module ``target`` of a GGUF by its name in a checkpoint; None where there is none."""
    block = _BLOCK.fullmatch(target)
    if block is None:
        return _SOURCES.get(target)
    source = _SOURCES_IN_LAYER.get(block[2])
    return None if source is None else f"model.layers.{int(block[1])}.{source}"


def is_skipped(name: str) -> bool:
    """Whether llama.cpp leaves this tensor of a checkpoint out: it can be computed."""
    return name.endswith(_SKIPPED)


def permute_rows(rows: Float32, heads: int) -> Float32:
    """Rows of whole heads in the order in which llama.cpp's RoPE wants them.

    Hugging Face rotates halves of a head, llama.cpp neighbours (``LlamaModel.permute`` of
    convert_hf_to_gguf). ``rows`` is [heads * head_size, columns].
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
    """The order of llama-quantize: what is in no layer first, then layer by layer, then names."""
    found = re.match(r"blk\.(\d+)\.", name)
    return (0, 0, name) if found is None else (1, int(found[1]), name)
