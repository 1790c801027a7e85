"""``config.json`` of a LLaMA-like model, with the defaults of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_convert.failures import ConvertError
from baize_convert.quantization.tensor_types import ModelShape
from baize_convert.sources.architectures import (
    ARCHITECTURES,
    LLAMA,
    Architecture,
    find_architecture,
)
from baize_convert.sources.number_ranges import check_numbers

MOST_LAYERS = 512
"""``LLAMA_MAX_LAYERS`` of llama.cpp."""
_ROPE_TYPES = ("default", "linear", "dynamic", "yarn", "llama3")


class Rope(Struct, frozen=True):
    """``rope_parameters``, or ``rope_scaling`` in older configs."""

    rope_type: str | None = None
    type: str | None = None
    rope_theta: float | None = None
    factor: float | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    original_max_position_embeddings: int | None = None
    extrapolation_factor: float | None = None
    attention_factor: float | None = None
    attn_factor: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None


class ModelConfig(Struct, frozen=True):
    """The fields of transformers' ``LlamaConfig`` that a conversion needs."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: int
    architectures: list[str] = []
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float | None = None
    rope_scaling: Rope | None = None
    rope_parameters: Rope | None = None
    tie_word_embeddings: bool = False
    quantization_config: dict[str, Any] | None = None
    bos_token_id: int | list[int] | None = None
    eos_token_id: int | list[int] | None = None

    @property
    def architecture(self) -> Architecture:
        return find_architecture(self.architectures) or LLAMA

    @property
    def kv_heads(self) -> int:
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_size(self) -> int:
        default = self.architecture.head_size or self.hidden_size // self.num_attention_heads
        return self.head_dim or default

    @property
    def rope(self) -> Rope:
        """The parameters of RoPE under their newer names, including ``rope_theta``."""
        given = self.rope_parameters or self.rope_scaling or Rope()
        return msgspec.structs.replace(
            given,
            rope_type=(given.rope_type or given.type or "default").lower(),
            rope_theta=given.rope_theta or self.rope_theta or 10000.0,
            attention_factor=given.attention_factor or given.attn_factor,
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
        config = msgspec.json.decode(path.read_bytes(), type=ModelConfig)
    except FileNotFoundError as error:
        raise ConvertError(f"{folder} has no config.json: not a Hugging Face model") from error
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConvertError(f"{path}: {error}") from error
    if config.architectures and find_architecture(config.architectures) is None:
        known = ", ".join(name for architecture in ARCHITECTURES for name in architecture.classes)
        raise ConvertError(
            f"{path}: the architecture {config.architectures[0]} cannot be converted; known: "
            f"{known}"
        )
    check_config(path, config)
    return config


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
    if config.rope.rope_type not in _ROPE_TYPES:
        raise ConvertError(
            f"{path}: llama.cpp does not support RoPE of the type {config.rope.rope_type}"
        )
    if config.kv_heads < 0 or config.num_attention_heads % config.kv_heads:
        raise ConvertError(
            f"{path}: {config.num_attention_heads} heads cannot share {config.kv_heads} key-value "
            "heads"
        )
