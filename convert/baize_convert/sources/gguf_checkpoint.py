"""A GGUF file as a base: quantized tensors are read as the numbers that llama.cpp computes with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from gguf import GGUFReader

from baize_convert.failures import ConvertError
from baize_convert.sources.architectures import class_of, parse_architecture
from baize_convert.sources.byte_source import MappedFile
from baize_convert.sources.checkpoint import Checkpoint, check_tensors, without_copied_head
from baize_convert.sources.gguf_file import (
    UNQUANTIZED,
    gguf_tensors,
    read_gguf,
    read_integer,
    read_text,
    read_value,
)
from baize_convert.sources.model_config import ModelConfig, check_config
from baize_convert.sources.tensor_names import module_names
from baize_convert.sources.tensors import Tensor
from baize_shared.split_files import model_files, parse_split_name

_COMPUTED = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Tensors that are not weights of a module; they are copied unchanged."""
_REQUIRED = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "intermediate_size": "feed_forward_length",
}


def open_gguf(path: Path) -> Checkpoint:
    """Open a GGUF file, or the first file of a split one, as a base.

    Raises:
        ConvertError: it is damaged, of another architecture, or contradicts its keys.
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
        raise ConvertError(f"{path}: token_embd.weight is missing: not a model, or a part of one")
    config = msgspec.structs.replace(
        config, vocab_size=embedding.rows, tie_word_embeddings="output.weight" not in stored
    )
    tensors: dict[str, Tensor] = {}
    for module in module_names(config).values():
        for part in ("weight", "bias"):
            tensor = stored.pop(f"{module.target}.{part}", None)
            if tensor is not None:
                name = f"{module.source}.{part}"
                tensors[name] = replace(
                    tensor, name=name, permuted_heads=module.permuted_heads, shift=module.shift
                )
    computed = {name: stored.pop(name).read_all() for name in _COMPUTED if name in stored}
    if stored:
        raise ConvertError(f"{path}: this architecture has no tensor {min(stored)}")
    check_tensors(path, config, tensors, biases_are_optional=True)
    return Checkpoint(
        path,
        config,
        without_copied_head(config, tensors),
        tuple(map(MappedFile, readers)),
        computed=computed,
        gguf=first,
    )


def quantized_types(base: Checkpoint) -> list[str]:
    """The quantized types in a base; empty for an unquantized one."""
    if base.gguf is None:
        return []
    unquantized = {type.name for type in UNQUANTIZED}
    return sorted({tensor.dtype for tensor in base.tensors.values()} - unquantized)


def _shards(path: Path) -> list[Path]:
    count = read_integer(read_gguf(path), "split.count")
    if not count or count == 1:
        return [path]
    split = parse_split_name(path.name)
    if split is None or (split.number, split.count) != (1, count):
        raise ConvertError(f"{path} is one of {count} files: give the first of them, ...-00001-of")
    return model_files(path)


def _config(path: Path, reader: GGUFReader) -> ModelConfig:
    if read_value(reader, "general.type") == "adapter":
        raise ConvertError(f"{path} is an adapter: give it with --adapter, and its base as BASE")
    architecture = parse_architecture(read_text(reader, "general.architecture"), path)
    sizes: dict[str, Any] = {
        name: read_integer(reader, f"{architecture.name}.{key}") for name, key in _REQUIRED.items()
    }
    for name, key in _REQUIRED.items():
        if not isinstance(sizes[name], int):
            raise ConvertError(f"{path}: {architecture.name}.{key} is missing")
    config = ModelConfig(
        **sizes,
        model_type=class_of(architecture).model_types[0],
        vocab_size=1,
        attention_bias=True,
        mlp_bias=True,
        num_key_value_heads=read_integer(reader, f"{architecture.name}.attention.head_count_kv"),
        head_dim=read_integer(reader, f"{architecture.name}.attention.key_length"),
        max_position_embeddings=read_integer(reader, f"{architecture.name}.context_length") or 2048,
    )
    check_config(path, config)
    return config
