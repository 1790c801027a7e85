"""The keys of an architecture: sizes and RoPE."""

from __future__ import annotations

import gguf
from gguf import GGUFWriter

from baize_convert.sources.model_config import ModelConfig


def add_architecture_keys(writer: GGUFWriter, config: ModelConfig) -> None:
    """Add sizes and RoPE, as ``TextModel.set_gguf_parameters`` of llama.cpp's converter."""
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.kv_heads)
    _add_rope(writer, config)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    architecture = config.architecture
    if (
        architecture.writes_head_size
        or architecture.head_size is not None
        or config.head_dim is not None
    ):
        writer.add_key_length(config.head_size)
        writer.add_value_length(config.head_size)
    if architecture.writes_head_size:
        writer.add_vocab_size(config.vocab_size)
        writer.add_rope_dimension_count(config.head_size)


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
    assert rope.rope_theta is not None
    writer.add_rope_freq_base(rope.rope_theta)
