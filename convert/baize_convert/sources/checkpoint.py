"""A base: its config and its tensors, checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gguf import GGUFReader

from baize_convert.failures import ConvertError
from baize_convert.quantization.ggml import Float32
from baize_convert.sources.byte_source import ByteSource
from baize_convert.sources.model_config import ModelConfig
from baize_convert.sources.tensor_names import module_names
from baize_convert.sources.tensors import ITEM_BYTES, StoredTensor, Tensor


@dataclass(frozen=True)
class Checkpoint:
    """A model's config and its tensors by their Hugging Face names."""

    path: Path
    config: ModelConfig
    tensors: dict[str, Tensor]
    files: tuple[ByteSource, ...]
    """The files that the tensors are in."""
    name: str | None = None
    """``owner/name`` of a repository on the hub or in its cache; None for other files."""
    commit: str | None = None
    """The commit of that repository; None for other files."""
    computed: dict[str, Float32] = field(default_factory=dict)
    """Tensors that are not weights, by GGUF name: the factors of LLaMA 3's RoPE."""
    gguf: GGUFReader | None = None
    """The reader of a GGUF base, whose keys are copied to the output; None for other bases."""
    notes: tuple[str, ...] = ()
    """What was ignored or repaired to open it, a line each."""


def check_tensors(path: Path, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
    """Check that these are the tensors of a model with this config.

    Raises:
        ConvertError: a tensor is missing, unknown, of another shape, or quantized.
    """
    expected = expected_shapes(config)
    for name, tensor in tensors.items():
        if name not in expected:
            raise ConvertError(f"{path}: this architecture has no tensor {name}")
        if isinstance(tensor, StoredTensor) and tensor.dtype not in ITEM_BYTES:
            raise ConvertError(f"{path}: {name} has the type {tensor.dtype}, not one of weights")
        if 0 in tensor.shape:
            raise ConvertError(
                f"{path}: {name} is empty: DeepSpeed ZeRO-3 saved it without gathering it; save it "
                "again with stage3_gather_16bit_weights_on_model_save, or by zero_to_fp32.py"
            )
        if len(tensor.shape) == 1 < len(expected[name]):
            raise ConvertError(
                f"{path}: {name} is one row of {tensor.shape[0]} numbers, as FSDP keeps its parts: "
                "save the model again with a full state dict"
            )
        if tensor.shape != expected[name]:
            raise ConvertError(
                f"{path}: {name} is {list(tensor.shape)}, but the config says "
                f"{list(expected[name])}"
            )
    optional = {"lm_head.weight"} if config.tie_word_embeddings else set()
    for name in expected:
        if name not in tensors and name not in optional and not name.endswith(".bias"):
            raise ConvertError(f"{path}: {name} is missing")


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor that a model with this config may have, by Hugging Face name."""
    hidden, ffn, vocab = config.hidden_size, config.intermediate_size, config.vocab_size
    queries = config.num_attention_heads * config.head_size
    keys = config.kv_heads * config.head_size
    by_module = {
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
    for name in module_names(config):
        short = ".".join(name.split(".")[3:]) if name.startswith("model.layers.") else name
        if short in by_module:
            shapes[f"{name}.weight"] = by_module[short]
            if short not in ("model.embed_tokens", "lm_head"):
                shapes[f"{name}.bias"] = by_module[short][:1]
        elif short in ("self_attn.q_norm", "self_attn.k_norm"):
            shapes[f"{name}.weight"] = (config.head_size,)
        else:
            shapes[f"{name}.weight"] = (hidden,)
    return shapes
