"""A base: its config and its tensors, checked against each other."""

from __future__ import annotations

import re
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

_LAYER = re.compile(r"model\.layers\.(\d+)\.")


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
    """Tensors that are not weights, by GGUF name: the factors of RoPE."""
    gguf: GGUFReader | None = None
    """The reader of a GGUF base, whose keys are copied to the output; None for other bases."""
    notes: tuple[str, ...] = ()
    """What was ignored or repaired to open it, a line each."""


def check_tensors(
    path: Path,
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    *,
    biases_are_optional: bool = False,
) -> None:
    """Check that these are the tensors of a model with this config.

    ``biases_are_optional`` for a GGUF, whose keys do not say which modules have a bias.

    Raises:
        ConvertError: a tensor is missing, unknown, of another shape, or quantized.
    """
    expected = expected_shapes(config)
    for name, tensor in tensors.items():
        if name not in expected:
            raise ConvertError(f"{path}: {_unknown_text(name, expected, config)}")
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
        if (
            name not in tensors
            and name not in optional
            and not (biases_are_optional and name.endswith(".bias"))
        ):
            raise ConvertError(f"{path}: {name} is missing")
    _check_head(path, config, tensors)


def without_copied_head(config: ModelConfig, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Checked tensors without a head for which llama.cpp takes the embedding in any case."""
    left_out = {"lm_head.weight"} if config.architecture.head == "is shared" else set()
    return {name: tensor for name, tensor in tensors.items() if name not in left_out}


def _unknown_text(name: str, expected: Mapping[str, tuple[int, ...]], config: ModelConfig) -> str:
    """What a tensor is that the model does not have; transformers ignores each of them."""
    module, _, part = name.rpartition(".")
    layer = _LAYER.match(name)
    if layer is not None and int(layer[1]) >= config.num_hidden_layers:
        return (
            f"there is a tensor {name}, but the config says num_hidden_layers "
            f"{config.num_hidden_layers}: correct it, or remove the tensors of further layers"
        )
    if part == "bias" and f"{module}.weight" in expected:
        return (
            f"there is a tensor {name}, but the config gives this module no bias, and so "
            "transformers ignores it: set attention_bias or mlp_bias, or remove it"
        )
    return (
        f"this architecture has no tensor {name}: if it only serves training, or predicts further "
        "tokens at once, remove it, as transformers ignores it; if not, the config is of another "
        "model"
    )


def _check_head(path: Path, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
    """llama.cpp takes the embedding for the head of some architectures, whatever the file has."""
    head = tensors.get("lm_head.weight")
    if head is None or config.architecture.head != "is shared":
        return
    if not head.equals(tensors["model.embed_tokens.weight"]):
        raise ConvertError(
            f"{path}: lm_head is not the embedding, but llama.cpp's {config.architecture.name} "
            "computes only with one tensor for both"
        )


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor that a model with this config may have, by Hugging Face name."""
    shapes: dict[str, tuple[int, ...]] = {}
    for module in module_names(config).values():
        shapes[f"{module.source}.weight"] = module.shape
        if module.may_have_bias:
            shapes[f"{module.source}.bias"] = module.shape[:1]
    return shapes
