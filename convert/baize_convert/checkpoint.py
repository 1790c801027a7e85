"""A Hugging Face folder: its shards, whatever they are, as one set of tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from baize_convert.failures import ConvertError
from baize_convert.model_config import ModelConfig, read_config
from baize_convert.safetensors_file import read_safetensors
from baize_convert.stored_tensors import ITEM_BYTES, StoredTensor
from baize_convert.tensor_names import is_skipped, modules
from baize_convert.torch_file import read_torch_file

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_TORCH, _TORCH_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


@dataclass(frozen=True)
class Checkpoint:
    """A model's config and its tensors by name."""

    folder: Path
    config: ModelConfig
    tensors: dict[str, StoredTensor]


def open_checkpoint(folder: Path) -> Checkpoint:
    """Open a folder and check that it holds the model that its config describes.

    Raises:
        ConvertError: a file or tensor is missing, damaged, of another shape, or quantized.
    """
    if not folder.is_dir():
        raise ConvertError(f"{folder}: no such folder")
    config = read_config(folder)
    tensors = {
        name: tensor for name, tensor in _read_shards(folder).items() if not is_skipped(name)
    }
    _check(folder, config, tensors)
    return Checkpoint(folder, config, tensors)


def _read_shards(folder: Path) -> dict[str, StoredTensor]:
    for index, single, read in (
        (_INDEX, _SINGLE, read_safetensors),
        (_TORCH_INDEX, _TORCH, read_torch_file),
    ):
        if (folder / index).is_file():
            return _read_index(folder, index, read)
        if (folder / single).is_file():
            return read(folder / single)
    raise ConvertError(f"{folder} has no {_SINGLE}, no {_INDEX} and no {_TORCH}")


def _read_index(
    folder: Path, name: str, read: Callable[[Path], dict[str, StoredTensor]]
) -> dict[str, StoredTensor]:
    try:
        index = msgspec.json.decode((folder / name).read_bytes(), type=_Index)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConvertError(f"{folder / name}: {error}") from error
    found: dict[str, StoredTensor] = {}
    for shard in sorted(set(index.weight_map.values())):
        if Path(shard).name != shard:
            raise ConvertError(f"{folder / name}: the shard {shard!r} is not in the folder")
        found |= read(folder / shard)
    if missing := set(index.weight_map) - set(found):
        raise ConvertError(f"{folder}: {min(missing)} is in the index but in no shard")
    return found


def _check(folder: Path, config: ModelConfig, tensors: dict[str, StoredTensor]) -> None:
    wanted = expected_shapes(config)
    for name, tensor in tensors.items():
        if name.endswith((".absmax", ".SCB", ".qweight", ".qzeros", ".scales")):
            raise ConvertError(
                f"{folder}: {name} is of a quantized model (bitsandbytes, GPTQ or AWQ): take the "
                "model it was made from, in 16 or 32 bits"
            )
        if name not in wanted:
            raise ConvertError(f"{folder}: {name} belongs to no part of this architecture")
        if tensor.dtype not in ITEM_BYTES:
            raise ConvertError(f"{folder}: {name} is of type {tensor.dtype}: a quantized model")
        if tensor.shape != wanted[name]:
            raise ConvertError(
                f"{folder}: {name} is {list(tensor.shape)}, but config.json says "
                f"{list(wanted[name])}"
            )
    optional = {"lm_head.weight"} if config.tie_word_embeddings else set()
    for name in wanted:
        if name not in tensors and name not in optional and not name.endswith(".bias"):
            raise ConvertError(f"{folder}: {name} is missing")


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
        else:
            shapes[f"{name}.weight"] = (hidden,)
    return shapes
