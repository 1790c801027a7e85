"""The architectures that can be converted, and how they differ.

Another architecture is an entry here, one in ``config_rules`` and, if llama.cpp writes keys of its
own for it, one in ``output.architecture_keys``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from baize_convert.failures import ConvertError
from baize_convert.sources.modules import (
    FUSED_ATTENTION,
    FUSED_FEED_FORWARD,
    NORMS_AFTER,
    NORMS_AROUND,
    Module,
    attention,
    feed_forward,
    head_norms,
    norms_before,
)


@dataclass(frozen=True)
class Architecture:
    """An architecture of llama.cpp, by its ``name`` in GGUF, with the modules of a layer."""

    name: str
    layer: tuple[Module, ...]
    interleaves_rows: bool = False
    """llama.cpp's RoPE rotates pairs of neighbouring rows, transformers rotates the two halves of a
    head. So the rows of q and k are interleaved. (For other architectures both rotate halves.)"""
    norm_shift: float = 0.0
    """What is added to each norm: Gemma's norms multiply by 1 + weight, llama.cpp's by weight."""
    head: Literal["may be shared", "is shared", "is separate"] = "may be shared"
    """Whether llama.cpp takes the embedding for the head if the file has no head. For some
    architectures it always does, for others never."""
    like_llama: bool = False
    """Whether its class in llama.cpp's converter is derived from ``LlamaModel``: then the sizes of
    the vocabulary and of RoPE are keys, and so is ``add_prefix_space`` of the tokenizer."""
    head_size_keys: Literal["always", "if given", "never"] = "if given"
    """When llama.cpp's converter writes the size of a head."""
    has_windows: bool = False
    """Whether llama.cpp computes layers that attend to the last tokens alone."""
    rope_types: tuple[str, ...] = ("default", "linear", "dynamic", "yarn")
    """The kinds of RoPE that llama.cpp computes for it, by their names in transformers."""


LLAMA = Architecture(
    "llama",
    norms_before(attention("attention_bias", "attention_bias"), feed_forward("mlp_bias")),
    interleaves_rows=True,
    like_llama=True,
    head_size_keys="always",
    rope_types=("default", "linear", "dynamic", "yarn", "llama3"),
)
QWEN2 = Architecture("qwen2", norms_before(attention("always"), feed_forward()))
QWEN3 = Architecture(
    "qwen3",
    norms_before(attention(), feed_forward()) + head_norms("head_size", "head_size"),
)
SMOLLM3 = Architecture(
    "smollm3",
    norms_before(attention(), feed_forward()),
    interleaves_rows=True,
    like_llama=True,
)
GRANITE = Architecture(
    "granite",
    LLAMA.layer,
    interleaves_rows=True,
    like_llama=True,
    head_size_keys="never",
    rope_types=LLAMA.rope_types,
)
GEMMA2 = Architecture(
    "gemma2",
    (*NORMS_AROUND, *attention(), *feed_forward()),
    norm_shift=1.0,
    head="is shared",
    has_windows=True,
    rope_types=("default",),
)
GEMMA3 = Architecture(
    "gemma3",
    (*NORMS_AROUND, *attention(), *head_norms("head_size", "head_size"), *feed_forward()),
    norm_shift=1.0,
    has_windows=True,
    rope_types=("default", "linear"),
)
PHI3 = Architecture(
    "phi3",
    norms_before(FUSED_ATTENTION, FUSED_FEED_FORWARD),
    rope_types=("default", "longrope"),
)
OLMO2 = Architecture(
    "olmo2",
    (*NORMS_AFTER, *attention(), *head_norms("query_size", "key_size"), *feed_forward()),
    head="is separate",
)


@dataclass(frozen=True)
class ModelClass:
    """A class of transformers, and the architecture of llama.cpp that computes it."""

    architecture: Architecture
    model_types: tuple[str, ...]
    """``model_type`` in config.json; the first is that of a model of text alone."""
    names: tuple[str, ...]
    """``architectures`` in config.json."""
    defaults: Mapping[str, object]
    """The fields of its config that are not those of ``LlamaConfig`` if config.json lacks them."""
    reads: frozenset[str]
    """Which of ``OPTIONAL_FIELDS`` it reads. In other classes they mean nothing."""


OPTIONAL_FIELDS = frozenset(
    {
        "attention_bias",
        "mlp_bias",
        "sliding_window",
        "use_sliding_window",
        "layer_types",
        "use_bidirectional_attention",
        "attn_logit_softcapping",
        "final_logit_softcapping",
    }
)
"""Fields that not all classes read: some config.json have those of another class."""
_QWEN_FIELDS = frozenset({"sliding_window", "use_sliding_window", "layer_types"})
_GEMMA_FIELDS = OPTIONAL_FIELDS - {"mlp_bias", "use_sliding_window"}
_QWEN = {
    "vocab_size": 151936,
    "intermediate_size": 22016,
    "num_key_value_heads": 32,
    "max_position_embeddings": 32768,
    "sliding_window": 4096,
    "max_window_layers": 28,
}
_GEMMA = {
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "tie_word_embeddings": True,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
}
MODEL_CLASSES = (
    ModelClass(
        LLAMA,
        ("llama",),
        ("LlamaForCausalLM", "LLaMAForCausalLM", "LlamaModel"),
        {},
        reads=frozenset({"attention_bias", "mlp_bias"}),
    ),
    ModelClass(
        LLAMA,
        ("mistral",),
        ("MistralForCausalLM", "MistralModel"),
        {
            "intermediate_size": 14336,
            "num_key_value_heads": 8,
            "max_position_embeddings": 131072,
            "sliding_window": 4096,
        },
        reads=frozenset({"sliding_window"}),
    ),
    ModelClass(QWEN2, ("qwen2",), ("Qwen2ForCausalLM", "Qwen2Model"), _QWEN, _QWEN_FIELDS),
    ModelClass(
        QWEN3,
        ("qwen3",),
        ("Qwen3ForCausalLM", "Qwen3Model"),
        {**_QWEN, "head_dim": 128},
        reads=_QWEN_FIELDS | {"attention_bias"},
    ),
    ModelClass(
        SMOLLM3,
        ("smollm3",),
        ("SmolLM3ForCausalLM", "SmolLM3Model"),
        {
            "vocab_size": 128256,
            "hidden_size": 2048,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 4,
            "max_position_embeddings": 32768,
            "rope_theta": 2e6,
            "tie_word_embeddings": True,
        },
        reads=_QWEN_FIELDS | {"attention_bias", "mlp_bias"},
    ),
    ModelClass(
        GEMMA2,
        ("gemma2",),
        ("Gemma2ForCausalLM", "Gemma2Model"),
        {
            **_GEMMA,
            "vocab_size": 256000,
            "max_position_embeddings": 8192,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        reads=_GEMMA_FIELDS,
    ),
    ModelClass(
        GEMMA3,
        ("gemma3_text", "gemma3"),
        ("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
        {
            **_GEMMA,
            "vocab_size": 262208,
            "max_position_embeddings": 131072,
            "rope_theta": 1e6,
            "rope_local_base_freq": 1e4,
            "use_bidirectional_attention": False,
        },
        reads=_GEMMA_FIELDS,
    ),
    ModelClass(
        PHI3,
        ("phi3",),
        ("Phi3ForCausalLM", "Phi3Model"),
        {
            "vocab_size": 32064,
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "max_position_embeddings": 4096,
            "original_max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
        },
        reads=frozenset({"sliding_window"}),
    ),
    ModelClass(
        GRANITE,
        ("granite",),
        ("GraniteForCausalLM", "GraniteModel"),
        {},
        reads=frozenset({"attention_bias", "mlp_bias"}),
    ),
    ModelClass(
        OLMO2,
        ("olmo2",),
        ("Olmo2ForCausalLM", "Olmo2Model"),
        {"vocab_size": 50304, "rms_norm_eps": 1e-5},
        reads=frozenset({"attention_bias"}),
    ),
)
"""The defaults are those of transformers 5.24."""


def class_by_name(names: Iterable[str]) -> ModelClass | None:
    """The first class with one of these names; None if all are unknown."""
    wanted = set(names)
    return next((known for known in MODEL_CLASSES if wanted & set(known.names)), None)


def class_by_type(model_type: str | None) -> ModelClass | None:
    """The class with this ``model_type``; None if it is unknown."""
    return next((known for known in MODEL_CLASSES if model_type in known.model_types), None)


def class_of(architecture: Architecture) -> ModelClass:
    """The class whose config describes models of an architecture best."""
    return next(known for known in MODEL_CLASSES if known.architecture == architecture)


def parse_architecture(name: object, where: object) -> Architecture:
    """The architecture with this name in GGUF.

    Raises:
        ConvertError: no such architecture is known; the message begins with ``where``.
    """
    architectures = {known.architecture.name: known.architecture for known in MODEL_CLASSES}
    if isinstance(name, str) and name in architectures:
        return architectures[name]
    raise ConvertError(
        f"{where}: the architecture {name} cannot be converted; known: {', '.join(architectures)}"
    )
