"""What in a config llama.cpp cannot compute, as tables of checked fields.

llama.cpp ignores most of these fields and computes what its code for the architecture says; a model
with another value would become one that answers differently. Sources: the classes in transformers'
models, and ``load_arch_hparams`` and the graphs in llama.cpp's src/models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.sources.attention_windows import (
    FULL,
    SLIDING,
    has_rope,
    windowed_layers,
)
from baize_convert.sources.model_config import ModelConfig

Rule = Callable[[ModelConfig], str | None]
"""Why a model cannot be converted; None if this rule has no objection."""


def check_rules(path: Path, config: ModelConfig) -> None:
    """Check that llama.cpp computes a model with this ``config``, which was read from ``path``.

    Raises:
        ConvertError: it would compute something else; the message names the field.
    """
    for rule in (*_FOR_ALL, *_RULES.get(config.architecture.name, ())):
        if (reason := rule(config)) is not None:
            raise ConvertError(f"{path}: {reason}")


def config_warnings(config: ModelConfig) -> Iterator[str]:
    """What the output leaves out, or computes differently for long texts."""
    if config.is_multimodal:
        yield "the vision part of the model is left out: the output has its text part alone"
    if (code := _own_code(config)) is not None:
        yield (
            f"config.json names code of its own for the model (auto_map: {code}), which is not "
            f"read: it is converted as transformers' {config.model_class.names[0]}"
        )
    window, name = config.sliding_window, config.architecture.name
    if (
        window is not None
        and window < config.max_position_embeddings
        and not config.architecture.has_windows
        and any(windowed_layers(config))
    ):
        yield (
            f"the model attends to the last {window} tokens (sliding_window), but llama.cpp's "
            f"{name} attends to all of them: its answers to longer texts differ"
        )
    if config.rope.rope_type == "dynamic":
        yield (
            "llama.cpp does not compute the model's dynamic RoPE: its answers to texts of more "
            f"than {config.max_position_embeddings} tokens differ"
        )
    if config.rope.rope_type == "longrope" and config.rope.short_factor != config.rope.long_factor:
        length = config.rope.original_max_position_embeddings
        yield (
            f"the model rotates texts of up to {length} tokens by short_factor and longer ones by "
            "long_factor (longrope), but llama.cpp decides by the size of the context: with more "
            f"than {length} tokens in it, its answers to shorter texts differ"
        )


_PART_OF_TRANSFORMERS = frozenset({"modeling_phi3.Phi3ForCausalLM"})
"""Code of repositories that transformers took over as it is."""


def _own_code(config: ModelConfig) -> str | None:
    """The class in the model's repository that may compute something else than transformers."""
    classes = config.auto_map if isinstance(config.auto_map, dict) else {}
    code = classes.get("AutoModelForCausalLM")
    if not isinstance(code, str) or code.rpartition("--")[2] in _PART_OF_TRANSFORMERS:
        return None
    return code


def _only(field: str, *values: object) -> Rule:
    """A rule that a field has one of these values."""

    def rule(config: ModelConfig) -> str | None:
        value = getattr(config, field)
        if value in values:
            return None
        return (
            f"{field} is {value}, but llama.cpp's {config.architecture.name} computes only "
            f"{values[0]}"
        )

    return rule


def _not(field: str, *values: object) -> Rule:
    """A rule that a field has none of these values."""

    def rule(config: ModelConfig) -> str | None:
        value = getattr(config, field)
        if value not in values:
            return None
        return f"{field} is {value}, which llama.cpp's {config.architecture.name} cannot compute"

    return rule


def _rope(config: ModelConfig) -> str | None:
    rope, architecture = config.rope, config.architecture
    if architecture.name != "gemma3" and _has_kinds_of_layers(config):
        return (
            "rope_parameters has an entry for each kind of layer, but llama.cpp's "
            f"{architecture.name} computes one RoPE for all layers"
        )
    if rope.rope_type not in architecture.rope_types:
        return f"llama.cpp's {architecture.name} does not support RoPE of the type {rope.rope_type}"
    if rope.rope_type in ("linear", "yarn") and (rope.factor is None or rope.factor <= 0):
        return f"RoPE of the type {rope.rope_type} has the factor {rope.factor}"
    if rope.rope_type == "llama3":
        for field in ("factor", "low_freq_factor", "high_freq_factor"):
            if getattr(rope, field) is None:
                return (
                    f"RoPE of the type llama3 has no {field}, without which transformers does not "
                    "load the model: add it as in the config of the original model"
                )
    partial = rope.partial_rotary_factor
    # In transformers an unscaled RoPE rotates whole heads, whatever this says, but for Phi-3.
    if partial != 1 and rope.rope_type != "default" and architecture.name != "phi3":
        return f"llama.cpp's {architecture.name} cannot rotate a part of a head ({partial})"
    if rope.rope_type != "yarn":
        return None
    # llama.cpp reads these from no key (``cparams.yarn_*`` of its src/llama-context.cpp).
    for field, value, computed in (
        ("beta_fast", rope.beta_fast, 32),
        ("beta_slow", rope.beta_slow, 1),
        ("truncate", rope.truncate, True),
    ):
        if value is not None and value != computed:
            return f"{field} of YaRN is {value}, but llama.cpp computes only {computed}"
    return None


def _has_kinds_of_layers(config: ModelConfig) -> bool:
    """Whether the RoPE of the config is given by kind of layer, as for Gemma 3."""
    ropes = (config.rope_parameters, config.rope_scaling)
    return any(rope and (rope.full_attention or rope.sliding_attention) for rope in ropes)


def _phi3_rope(config: ModelConfig) -> str | None:
    rope, partial = config.rope, config.rope.partial_rotary_factor or 1.0
    if not 0 < partial <= 1 or config.rope_size != int(config.head_size * partial):
        return f"llama.cpp's phi3 cannot rotate a part of {partial} of a head"
    if rope.rope_type != "longrope":
        return None
    if (rope.original_max_position_embeddings or 0) <= 1:
        return f"original_max_position_embeddings is {rope.original_max_position_embeddings}"
    length, factors = config.rope_size // 2, (rope.short_factor, rope.long_factor)
    if any(factor is None or len(factor) != length for factor in factors):
        return (
            f"RoPE of the type longrope needs {length} numbers as short_factor and as long_factor"
        )
    return None


def _even_heads(config: ModelConfig) -> str | None:
    """llama.cpp loads no other sizes for these architectures."""
    if config.query_size == config.hidden_size:
        return None
    return (
        f"head_dim is {config.head_size}, but llama.cpp's {config.architecture.name} computes only "
        f"hidden_size / num_attention_heads, {config.hidden_size / config.num_attention_heads:g}"
    )


def _layer_types(config: ModelConfig) -> str | None:
    types, count = config.layer_types, config.num_hidden_layers
    if types is None:
        return None
    if unknown := set(types) - {SLIDING, FULL}:
        return f"layer_types has {min(unknown)}, which llama.cpp cannot compute for this model"
    return (
        f"layer_types has {len(types)} entries for {count} layers" if len(types) != count else None
    )


def _window_size(config: ModelConfig) -> str | None:
    if (
        config.sliding_window is None
        or config.sliding_window > 0
        or not any(windowed_layers(config))
    ):
        return None
    return f"sliding_window is {config.sliding_window}"


def _windows(config: ModelConfig) -> str | None:
    """llama.cpp repeats one pattern of layers: in Gemma 2 every second, in Gemma 3 every sixth."""
    step = 2 if config.architecture.name == "gemma2" else 6
    windows = windowed_layers(config)
    if config.sliding_window is None and any(windows):
        return "sliding_window is null, but layers need one"
    if step == 6 and not any(windows):
        return None
    if windows == [(layer + 1) % step != 0 for layer in range(config.num_hidden_layers)]:
        return None
    return (
        f"llama.cpp's {config.architecture.name} attends to all tokens in every layer whose number "
        f"{step} divides, and not in those that layer_types or sliding_window_pattern says"
    )


def _layers_without_rope(config: ModelConfig) -> str | None:
    if all(has_rope(config, at) == ((at + 1) % 4 != 0) for at in range(config.num_hidden_layers)):
        return None
    return (
        "llama.cpp's smollm3 leaves out RoPE in every fourth layer, and not in those that "
        "no_rope_layers or no_rope_layer_interval says"
    )


def _attention_scale(config: ModelConfig) -> str | None:
    """llama.cpp knows the models of 27B, whose scale is another, by their number of layers."""
    wide = {"gemma2": 46, "gemma3": 62}[config.architecture.name] == config.num_hidden_layers
    computed = config.hidden_size // config.num_attention_heads if wide else config.head_size
    if math.isclose(config.query_pre_attn_scalar, computed):
        return None
    return (
        f"query_pre_attn_scalar is {config.query_pre_attn_scalar:g}, but llama.cpp's "
        f"{config.architecture.name} with {config.num_hidden_layers} layers computes only "
        f"{computed}"
    )


def _local_rope(config: ModelConfig) -> str | None:
    kind = config.local_rope.rope_type
    return None if kind == "default" else f"RoPE of layers with a window is of the type {kind}"


_FOR_ALL: tuple[Rule, ...] = (
    _only("is_causal", True, None),
    _only("use_bidirectional_attention", False, None),
    _layer_types,
    _window_size,
    _rope,
)
_SILU = _only("hidden_act", "silu", "swish")
_GELU = _only("hidden_activation", "gelu_pytorch_tanh")
_NO_ATTENTION_BIAS, _NO_MLP_BIAS = _only("attention_bias", False), _only("mlp_bias", False)
_RULES: Mapping[str, tuple[Rule, ...]] = {
    "llama": (_SILU,),
    "qwen2": (_SILU, _even_heads),
    "qwen3": (_SILU, _NO_ATTENTION_BIAS),
    "smollm3": (_SILU, _NO_ATTENTION_BIAS, _NO_MLP_BIAS, _layers_without_rope),
    "granite": (
        _SILU,
        _even_heads,
        *(
            _not(field, 0)  # no key is written, and llama.cpp computes something else
            for field in (
                "embedding_multiplier",
                "attention_multiplier",
                "residual_multiplier",
                "logits_scaling",
            )
        ),
    ),
    "gemma2": (
        _GELU,
        _NO_ATTENTION_BIAS,
        _not("attn_logit_softcapping", None, 0),
        _not("final_logit_softcapping", None, 0),
        _attention_scale,
        _windows,
    ),
    "gemma3": (
        _GELU,
        _NO_ATTENTION_BIAS,
        _only("attn_logit_softcapping", None),
        _attention_scale,
        _windows,
        _local_rope,
    ),
    "phi3": (_SILU, _even_heads, _phi3_rope),
    "olmo2": (_SILU, _even_heads, _NO_ATTENTION_BIAS, _only("tie_word_embeddings", False)),
}
"""By architecture in GGUF. ``head_dim`` and biases are free where llama.cpp reads them."""
