"""Tables of the modules of each architecture: names, sizes and biases.

Names in GGUF: ``TENSOR_NAMES`` and ``TensorNameMap`` of gguf-py. Which tensors llama.cpp loads, and
with which sizes: ``load_arch_tensors`` in its src/models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Size = Literal[
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "query_size",
    "key_size",
    "head_size",
    "fused_attention_size",
    "fused_feed_forward_size",
]
"""A number of rows or columns, by its name in ``ModelConfig``."""
Bias = Literal["never", "always", "attention_bias", "mlp_bias"]
"""Whether a module has a bias; two of these are fields of the config, which decide it."""


@dataclass(frozen=True)
class Module:
    """A module by its names in Hugging Face models (``source``) and in GGUF (``target``).

    Those of a layer are without the number of the layer.
    """

    source: str
    target: str
    rows: Size
    columns: Size | None = None
    """None for a norm, which is a vector."""
    bias: Bias = "never"

    @property
    def is_norm(self) -> bool:
        return self.columns is None


def norm(source: str, target: str, size: Size = "hidden_size") -> Module:
    """A vector that scales what goes through."""
    return Module(source, target, size)


def attention(bias: Bias = "never", output_bias: Bias = "never") -> tuple[Module, ...]:
    """Separate projections of queries, keys and values, and that of the output."""
    return (
        Module("self_attn.q_proj", "attn_q", "query_size", "hidden_size", bias),
        Module("self_attn.k_proj", "attn_k", "key_size", "hidden_size", bias),
        Module("self_attn.v_proj", "attn_v", "key_size", "hidden_size", bias),
        Module("self_attn.o_proj", "attn_output", "hidden_size", "query_size", output_bias),
    )


def feed_forward(bias: Bias = "never") -> tuple[Module, ...]:
    """A gate, a projection up and one down."""
    return (
        Module("mlp.gate_proj", "ffn_gate", "intermediate_size", "hidden_size", bias),
        Module("mlp.up_proj", "ffn_up", "intermediate_size", "hidden_size", bias),
        Module("mlp.down_proj", "ffn_down", "hidden_size", "intermediate_size", bias),
    )


def head_norms(queries: Size, keys: Size) -> tuple[Module, ...]:
    """Norms of queries and keys, of one head or of all heads together."""
    return (
        norm("self_attn.q_norm", "attn_q_norm", queries),
        norm("self_attn.k_norm", "attn_k_norm", keys),
    )


def norms_before(
    attention: tuple[Module, ...], feed_forward: tuple[Module, ...]
) -> tuple[Module, ...]:
    """A layer with a norm before the attention, and one before the feed-forward network."""
    return (
        norm("input_layernorm", "attn_norm"),
        *attention,
        norm("post_attention_layernorm", "ffn_norm"),
        *feed_forward,
    )


TOP = (
    Module("model.embed_tokens", "token_embd", "vocab_size", "hidden_size"),
    norm("model.norm", "output_norm"),
    Module("lm_head", "output", "vocab_size", "hidden_size"),
)
"""The modules outside layers, which are the same for all architectures."""
NORMS_AFTER = (
    norm("post_attention_layernorm", "post_attention_norm"),
    norm("post_feedforward_layernorm", "post_ffw_norm"),
)
"""OLMo 2: a norm after the attention, and one after the feed-forward network."""
NORMS_AROUND = (
    norm("input_layernorm", "attn_norm"),
    norm("pre_feedforward_layernorm", "ffn_norm"),
    *NORMS_AFTER,
)
"""Gemma 2 and 3: norms before and after both."""
FUSED_ATTENTION = (
    Module("self_attn.qkv_proj", "attn_qkv", "fused_attention_size", "hidden_size"),
    Module("self_attn.o_proj", "attn_output", "hidden_size", "query_size"),
)
"""Phi-3: queries, keys and values in one matrix."""
FUSED_FEED_FORWARD = (
    Module("mlp.gate_up_proj", "ffn_up", "fused_feed_forward_size", "hidden_size"),
    Module("mlp.down_proj", "ffn_down", "hidden_size", "intermediate_size"),
)
"""Phi-3: the gate and the projection up in one matrix."""
