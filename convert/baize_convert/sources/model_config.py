"""``config.json`` of a model, with the defaults of its class in transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_convert.failures import ConvertError
from baize_convert.quantization.tensor_types import ModelShape
from baize_convert.sources.architectures import (
    MODEL_CLASSES,
    OPTIONAL_FIELDS,
    Architecture,
    ModelClass,
    class_by_name,
    class_by_type,
)
from baize_convert.sources.json_content import decode_json
from baize_convert.sources.number_ranges import check_numbers
from baize_shared.json_errors import JSON_ERRORS

MOST_LAYERS = 512
"""``LLAMA_MAX_LAYERS`` of llama.cpp."""
_OF_THE_WHOLE = (
    "architectures",
    "model_type",
    "tie_word_embeddings",
    "bos_token_id",
    "eos_token_id",
    "quantization_config",
    "auto_map",
)
"""Fields of a model with a vision part that count, and not those of its ``text_config``."""


class Rope(Struct, frozen=True):
    """``rope_parameters``, or ``rope_scaling`` in older configs."""

    rope_type: str | None = None
    type: str | None = None
    rope_theta: float | None = None
    factor: float | None = None
    partial_rotary_factor: float | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    original_max_position_embeddings: int | None = None
    extrapolation_factor: float | None = None
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    truncate: bool | None = None
    short_factor: list[float] | None = None
    long_factor: list[float] | None = None
    full_attention: Rope | None = None
    """Gemma 3: the RoPE of layers that attend to all tokens."""
    sliding_attention: Rope | None = None
    """Gemma 3: the RoPE of layers that attend to the last ``sliding_window`` tokens."""


def _updated(rope: Rope, changes: Rope) -> Rope:
    """``rope`` with the fields that ``changes`` has."""
    return msgspec.structs.replace(
        rope,
        **{
            name: value
            for name, value in msgspec.structs.asdict(changes).items()
            if value is not None
        },
    )


class _Identity(Struct, frozen=True):
    """The fields of a config that say of which class the model is."""

    architectures: list[str] | None = None
    model_type: str | None = None


class ModelConfig(Struct, frozen=True):
    """The fields of a config that a conversion needs; defaults are those of ``LlamaConfig``."""

    hidden_size: int = 4096
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    intermediate_size: int = 11008
    vocab_size: int = 32000
    architectures: list[str] | None = None
    model_type: str | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    attention_bias: bool = False
    mlp_bias: bool = False
    hidden_act: str = "silu"
    hidden_activation: str | None = None
    is_causal: bool | None = None
    use_bidirectional_attention: bool | None = None
    rope_theta: float | None = None
    rope_local_base_freq: float | None = None
    rope_scaling: Rope | None = None
    rope_parameters: Rope | None = None
    partial_rotary_factor: float | None = None
    original_max_position_embeddings: int | None = None
    no_rope_layers: list[int] | None = None
    no_rope_layer_interval: int = 4
    sliding_window: int | None = None
    use_sliding_window: bool = False
    sliding_window_pattern: int | None = None
    max_window_layers: int = 0
    layer_types: list[str] | None = None
    query_pre_attn_scalar: float = 256
    attn_logit_softcapping: float | None = None
    final_logit_softcapping: float | None = None
    embedding_multiplier: float = 1.0
    attention_multiplier: float = 1.0
    residual_multiplier: float = 1.0
    logits_scaling: float = 1.0
    tie_word_embeddings: bool = False
    is_multimodal: bool = False
    """Whether this is the text part of a model that has a vision part too."""
    quantization_config: dict[str, Any] | None = None
    auto_map: Any = None
    bos_token_id: int | list[int] | None = None
    eos_token_id: int | list[int] | None = None

    @property
    def model_class(self) -> ModelClass:
        found = class_by_name(self.architectures or ()) or class_by_type(self.model_type)
        return found or MODEL_CLASSES[0]

    @property
    def architecture(self) -> Architecture:
        return self.model_class.architecture

    @property
    def kv_heads(self) -> int:
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_size(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def query_size(self) -> int:
        """Rows of the projection of queries."""
        return self.num_attention_heads * self.head_size

    @property
    def key_size(self) -> int:
        """Rows of the projection of keys, and of that of values."""
        return self.kv_heads * self.head_size

    @property
    def fused_attention_size(self) -> int:
        """Rows of the projection of queries, keys and values in one matrix."""
        return self.query_size + 2 * self.key_size

    @property
    def fused_feed_forward_size(self) -> int:
        """Rows of the gate and the projection up in one matrix."""
        return 2 * self.intermediate_size

    @property
    def rope_size(self) -> int:
        """The rows of a head that RoPE rotates."""
        part = self.rope.partial_rotary_factor or 1.0
        return int(part * self.hidden_size) // self.num_attention_heads

    @property
    def rope(self) -> Rope:
        """The parameters of RoPE under their newer names, including ``rope_theta``.

        For Gemma 3 they are those of layers that attend to all tokens.
        """
        scaling, parameters = self.rope_scaling or Rope(), self.rope_parameters or Rope()
        # As convert_rope_params_to_dict of transformers, in which an empty rope_scaling is none.
        given = parameters if scaling == Rope() else scaling
        if self.architecture.name == "gemma3":
            given = _updated(parameters.full_attention or Rope(), scaling)
        rope_type = (given.rope_type or given.type or "default").lower()
        if self.architecture.name == "phi3" and rope_type in ("su", "yarn"):
            rope_type = "longrope"  # as Phi3Config of transformers
        return msgspec.structs.replace(
            given,
            rope_type=rope_type,
            rope_theta=given.rope_theta or self.rope_theta or 10000.0,
            partial_rotary_factor=given.partial_rotary_factor or self.partial_rotary_factor or 1.0,
            original_max_position_embeddings=self.original_max_position_embeddings
            or given.original_max_position_embeddings,
        )

    @property
    def local_rope(self) -> Rope:
        """Gemma 3: the RoPE of layers that attend to the last ``sliding_window`` tokens."""
        given = (self.rope_parameters or Rope()).sliding_attention or Rope()
        return msgspec.structs.replace(
            given,
            rope_type=(given.rope_type or given.type or "default").lower(),
            rope_theta=given.rope_theta or self.rope_local_base_freq or 10000.0,
        )

    @property
    def shape(self) -> ModelShape:
        """The numbers that decide the types of tensors."""
        return ModelShape(
            self.num_hidden_layers,
            self.num_attention_heads,
            self.kv_heads,
            self.architecture.name,
        )


def read_config(folder: Path) -> ModelConfig:
    """Read the config of a Hugging Face folder.

    Raises:
        ConvertError: it is missing, contradicts itself, or describes another architecture.
    """
    path = folder / "config.json"
    try:
        content = path.read_bytes()
        model_class = _choose_class(path, decode_json(content, _Identity))
        fields = _text_fields(decode_json(content, dict[str, Any]))
        unread = OPTIONAL_FIELDS - model_class.reads
        read = {name: value for name, value in fields.items() if name not in unread}
        config = msgspec.convert({**model_class.defaults, **read}, ModelConfig)
    except FileNotFoundError as error:
        raise ConvertError(f"{folder} has no config.json: not a Hugging Face model") from error
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    except JSON_ERRORS as error:
        raise ConvertError(f"{path}: {error}") from error
    check_config(path, config)
    return config


def _choose_class(path: Path, identity: _Identity) -> ModelClass:
    """The class of a model: ``architectures`` names it, or else ``model_type``.

    Raises:
        ConvertError: it is unknown, or the two contradict each other.
    """
    names, model_type = identity.architectures or [], identity.model_type
    by_name, by_type = class_by_name(names), class_by_type(model_type)
    if by_name is not None and model_type is not None and by_type != by_name:
        raise ConvertError(
            f"{path}: architectures says {names[0]}, but model_type says {model_type}: one of them "
            "is wrong"
        )
    known = by_name if names else by_type
    if known is not None:
        return known
    if not names and model_type is None:
        raise ConvertError(f"{path} has no architectures and no model_type: of what is it a config")
    classes = ", ".join(known.names[0] for known in MODEL_CLASSES)
    raise ConvertError(
        f"{path}: the architecture {names[0] if names else model_type} cannot be converted; known: "
        f"{classes}"
    )


def _text_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of the text part of a model with a vision part; of other models, all fields."""
    text = fields.get("text_config")
    if not isinstance(text, dict):
        return {**fields, "is_multimodal": False}
    outer = {name: fields[name] for name in _OF_THE_WHOLE if fields.get(name) is not None}
    return {"tie_word_embeddings": True, **text, **outer, "is_multimodal": True}


def check_config(path: Path, config: ModelConfig) -> None:
    """Check the sizes in ``config``, which was read from ``path``.

    Raises:
        ConvertError: a number is outside its range, or two contradict each other.
    """
    check_numbers(path, config)
    if config.num_hidden_layers > MOST_LAYERS:
        raise ConvertError(
            f"{path}: {config.num_hidden_layers} layers are more than llama.cpp supports"
        )
    if config.kv_heads < 0 or config.num_attention_heads % config.kv_heads:
        raise ConvertError(
            f"{path}: {config.num_attention_heads} heads cannot share {config.kv_heads} key-value "
            "heads"
        )
