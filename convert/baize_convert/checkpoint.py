"""A base: its config and all its tensors, checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gguf import GGUFReader

from baize_convert.failures import ConvertError
from baize_convert.ggml import Float32
from baize_convert.model_config import ModelConfig
from baize_convert.stored_tensors import ITEM_BYTES, ByteSource, StoredTensor, Tensor
from baize_convert.tensor_names import modules

_QUANTIZED = (".absmax", ".SCB", ".qweight", ".qzeros", ".scales")


@dataclass(frozen=True)
class Checkpoint:
    """A model's config and its tensors by their Hugging Face names."""

    path: Path
    config: ModelConfig
    tensors: dict[str, Tensor]
    files: tuple[ByteSource, ...]
    """Where the tensors lie."""
    name: str | None = None
    """``owner/name`` of one on the hub; else ``path`` tells it."""
    commit: str | None = None
    """The commit of that repository."""
    computed: dict[str, Float32] = field(default_factory=dict)
    """Tensors that are no weights, by their GGUF names: the factors of LLaMA 3's RoPE."""
    gguf: GGUFReader | None = None
    """The file, where the base is a GGUF: its keys are those of the output."""


def check_tensors(path: Path, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
    """Whether these are the tensors of a model of this config.

    Raises:
        ConvertError: one is missing, too many, of another shape, or quantized.
    """
    wanted = expected_shapes(config)
    for name, tensor in tensors.items():
        if name.endswith(_QUANTIZED):
            raise ConvertError(
                f"{path}: {name} is of a quantized model (bitsandbytes, GPTQ or AWQ): take the "
                "model it was made from, in 16 or 32 bits"
            )
        if name not in wanted:
            raise ConvertError(f"{path}: {name} belongs to no part of this architecture")
        if isinstance(tensor, StoredTensor) and tensor.dtype not in ITEM_BYTES:
            raise ConvertError(f"{path}: {name} is of type {tensor.dtype}: a quantized model")
        if tensor.shape != wanted[name]:
            raise ConvertError(
                f"{path}: {name} is {list(tensor.shape)}, but the config says {list(wanted[name])}"
            )
    optional = {"lm_head.weight"} if config.tie_word_embeddings else set()
    for name in wanted:
        if name not in tensors and name not in optional and not name.endswith(".bias"):
            raise ConvertError(f"{path}: {name} is missing")


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor that a model of this config may have, by its name."""
    hidden, ffn, vocab = config.hidden_size, config.intermediate_size, config.vocab_size
    queries = config.num_attention_heads * config.head_size
    keys = config.kv_heads * config.head_size
    of = {
        "model.embed_tokens": (vocab, hidden),
        "lm_head": (vocab, hidden),
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (ffn, hidden),
        "mlp.up_proj": (ffn, hidden),
        "mlp.down_proj": (hidden, ffn),
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for name in modules(config):
        short = ".".join(name.split(".")[3:]) if name.startswith("model.layers.") else name
        if short in of:
            shapes[f"{name}.weight"] = of[short]
            if short not in ("model.embed_tokens", "lm_head"):
                shapes[f"{name}.bias"] = of[short][:1]
        elif short in ("self_attn.q_norm", "self_attn.k_norm"):
            shapes[f"{name}.weight"] = (config.head_size,)
        else:
            shapes[f"{name}.weight"] = (hidden,)
    return shapes
