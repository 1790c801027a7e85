"""A GGUF file as a base: what is quantized is read as the numbers that llama.cpp computes with."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import msgspec
from gguf import GGUFReader

from baize_convert.architectures import architecture_named
from baize_convert.checkpoint import Checkpoint, check_tensors
from baize_convert.failures import ConvertError
from baize_convert.gguf_file import UNQUANTIZED, gguf_tensors, read_gguf, value_of
from baize_convert.model_config import ModelConfig, check_config
from baize_convert.stored_tensors import MappedFile, Tensor
from baize_convert.tensor_names import modules

_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
_COMPUTED = ("rope_freqs.weight",)
"""Tensors that are no weights of a module, and copied as they are."""
_REQUIRED = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "intermediate_size": "feed_forward_length",
}


def open_gguf(path: Path) -> Checkpoint:
    """Open a GGUF file, or the first of several it was split into, as a base.

    Raises:
        ConvertError: damaged, of another architecture, or not what its keys say.
    """
    readers = {shard: read_gguf(shard) for shard in _shards(path)}
    first = next(iter(readers.values()))
    config = _config(path, first)
    stored = {
        name: tensor
        for shard, reader in readers.items()
        for name, tensor in gguf_tensors(shard, reader).items()
    }
    embedding = stored.get("token_embd.weight")
    if embedding is None:
        raise ConvertError(f"{path}: token_embd.weight is missing: no model, or a part of one")
    config = msgspec.structs.replace(
        config, vocab_size=embedding.rows, tie_word_embeddings="output.weight" not in stored
    )
    tensors: dict[str, Tensor] = {}
    for module in modules(config).values():
        for part in ("weight", "bias"):
            tensor = stored.pop(f"{module.target}.{part}", None)
            if tensor is not None:
                name = f"{module.source}.{part}"
                tensors[name] = replace(tensor, name=name, permuted_heads=module.permuted_heads)
    computed = {name: stored.pop(name).read_all() for name in _COMPUTED if name in stored}
    if stored:
        raise ConvertError(f"{path}: {min(stored)} belongs to no part of this architecture")
    check_tensors(path, config, tensors)
    return Checkpoint(
        path, config, tensors, tuple(map(MappedFile, readers)), computed=computed, gguf=first
    )


def quantized_types(base: Checkpoint) -> list[str]:
    """The types of a base that is quantized already: what they lost does not come back."""
    unquantized = {type.name for type in UNQUANTIZED}
    if base.gguf is None:
        return []
    return sorted({tensor.dtype for tensor in base.tensors.values()} - unquantized)


def _shards(path: Path) -> list[Path]:
    count = value_of(read_gguf(path), "split.count")
    if not count or count == 1:
        return [path]
    named = _SHARD.fullmatch(path.name)
    if named is None or int(named[2]) != 1 or int(named[3]) != count:
        raise ConvertError(f"{path} is one of {count} files: give the first of them, ...-00001-of")
    return [
        path.with_name(f"{named[1]}-{number:05}-of-{named[3]}.gguf")
        for number in range(1, int(count) + 1)
    ]


def _config(path: Path, reader: GGUFReader) -> ModelConfig:
    if value_of(reader, "general.type") == "adapter":
        raise ConvertError(f"{path} is an adapter: give it with --adapter, and its base as BASE")
    kind = architecture_named(value_of(reader, "general.architecture"), path)
    found = {name: value_of(reader, f"{kind.name}.{key}") for name, key in _REQUIRED.items()}
    for name, key in _REQUIRED.items():
        if not isinstance(found[name], int):
            raise ConvertError(f"{path}: {kind.name}.{key} is missing")
    config = ModelConfig(
        **found,
        architectures=[kind.classes[0]],
        vocab_size=1,
        num_key_value_heads=value_of(reader, f"{kind.name}.attention.head_count_kv"),
        head_dim=value_of(reader, f"{kind.name}.attention.key_length"),
        max_position_embeddings=value_of(reader, f"{kind.name}.context_length") or 2048,
    )
    check_config(path, config)
    return config
