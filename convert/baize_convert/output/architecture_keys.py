"""The keys of an architecture: sizes, RoPE, and what else llama.cpp computes with.

The keys, and their order, are those of ``set_gguf_parameters`` of the classes in llama.cpp's
conversion/. In four cases its converter writes too little, and the file computes something else:

- a factor of YaRN's attention that does not follow from its scale (``yarn_attn_factor``, which it
  writes, is read by no model);
- a base of RoPE other than 10,000 for Gemma 2;
- factors of longrope that do not follow from the lengths;
- Gemma 3 with windows in no layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import gguf
from gguf import GGUFWriter

from baize_convert.sources.attention_windows import windowed_layers
from baize_convert.sources.model_config import ModelConfig
from baize_convert.sources.rope import longrope_attention_factor, yarn_attention_factor

_DEFAULT_BASE = 10000.0
"""llama.cpp's base of RoPE for files without one."""


def add_architecture_keys(writer: GGUFWriter, config: ModelConfig) -> None:
    """Add sizes, RoPE, and the other numbers of the architecture."""
    _WRITERS.get(config.architecture.name, _add_common)(writer, config)


def _add_common(writer: GGUFWriter, config: ModelConfig) -> None:
    """As ``TextModel`` of conversion/base.py, and ``LlamaModel`` of llama.py."""
    architecture = config.architecture
    writer.add_block_count(config.num_hidden_layers)
    _add_sizes(writer, config)
    _add_rope(writer, config)
    if config.architecture.name == "gemma3":
        writer.add_rope_freq_base_swa(_theta(config.local_rope.rope_theta))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if architecture.head_size_keys == "always" or (
        architecture.head_size_keys == "if given" and config.head_dim is not None
    ):
        _add_head_size(writer, config)
    if architecture.like_llama:
        writer.add_vocab_size(config.vocab_size)
        writer.add_rope_dimension_count(config.head_size)


def _add_sizes(writer: GGUFWriter, config: ModelConfig) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.kv_heads)


def _add_head_size(writer: GGUFWriter, config: ModelConfig) -> None:
    writer.add_key_length(config.head_size)
    writer.add_value_length(config.head_size)


def _add_rope(writer: GGUFWriter, config: ModelConfig) -> None:
    rope = config.rope
    if rope.factor is not None and rope.rope_type == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope.factor)
    elif rope.factor is not None and rope.rope_type == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope.factor)
        length = rope.original_max_position_embeddings or config.max_position_embeddings
        writer.add_rope_scaling_orig_ctx_len(length)
        for value, add in (
            (rope.extrapolation_factor, writer.add_rope_scaling_yarn_ext_factor),
            (rope.attention_factor, writer.add_rope_scaling_yarn_attn_factor),
            (rope.beta_fast, writer.add_rope_scaling_yarn_beta_fast),
            (rope.beta_slow, writer.add_rope_scaling_yarn_beta_slow),
        ):
            if value is not None:
                add(value)
        factor = yarn_attention_factor(rope)
        if not math.isclose(factor, 1.0):
            writer.add_rope_scaling_attn_factors(factor)
    writer.add_rope_freq_base(_theta(rope.rope_theta))


def _theta(rope_theta: float | None) -> float:
    return _DEFAULT_BASE if rope_theta is None else rope_theta


def _add_granite(writer: GGUFWriter, config: ModelConfig) -> None:
    """As ``GraniteModel`` of granite.py."""
    _add_common(writer, config)
    writer.add_attention_scale(config.attention_multiplier)
    writer.add_embedding_scale(config.embedding_multiplier)
    writer.add_residual_scale(config.residual_multiplier)
    writer.add_logit_scale(config.logits_scaling)


def _add_gemma2(writer: GGUFWriter, config: ModelConfig) -> None:
    """As ``Gemma2Model`` of gemma.py."""
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    _add_head_size(writer, config)
    assert config.attn_logit_softcapping is not None
    assert config.final_logit_softcapping is not None
    assert config.sliding_window is not None
    writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
    writer.add_final_logit_softcapping(config.final_logit_softcapping)
    writer.add_sliding_window(config.sliding_window)
    if (base := _theta(config.rope.rope_theta)) != _DEFAULT_BASE:
        writer.add_rope_freq_base(base)


def _add_gemma3(writer: GGUFWriter, config: ModelConfig) -> None:
    """As ``Gemma3Model`` of gemma.py."""
    _add_common(writer, config)
    if config.final_logit_softcapping:
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if config.sliding_window is not None and any(windowed_layers(config)):
        writer.add_sliding_window(config.sliding_window)


def _add_phi3(writer: GGUFWriter, config: ModelConfig) -> None:
    """As ``Phi3MiniModel`` of phi.py."""
    if config.rope.rope_type == "longrope":
        writer.add_rope_scaling_attn_factors(longrope_attention_factor(config))
    length = config.rope.original_max_position_embeddings
    writer.add_context_length(config.max_position_embeddings)
    writer.add_rope_scaling_orig_ctx_len(length or config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.rope_size)
    writer.add_rope_freq_base(_theta(config.rope.rope_theta))
    writer.add_sliding_window(config.sliding_window or 0)


_WRITERS: Mapping[str, Callable[[GGUFWriter, ModelConfig], None]] = {
    "granite": _add_granite,
    "gemma2": _add_gemma2,
    "gemma3": _add_gemma3,
    "phi3": _add_phi3,
}
"""By architecture in GGUF; for all others it is ``_add_common``."""
