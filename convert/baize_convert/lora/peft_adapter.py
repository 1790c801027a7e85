"""Folders of adapters that PEFT saved; every key in them is used or reported.

Scales: ``LoraLayer`` of peft/tuners/lora/layer.py and ``get_pattern_key`` of peft/utils/other.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.lora.adapter import Adapter, ModuleChange, check_complete, refuse_untrained
from baize_convert.lora.peft_config import AdapterConfig, read_adapter_config
from baize_convert.lora.peft_keys import assign_tensor
from baize_convert.sources.byte_source import ByteSource, MappedFile
from baize_convert.sources.remote_files import RemoteFiles
from baize_convert.sources.safetensors_file import parse_safetensors
from baize_convert.sources.small_files import check_small_files
from baize_convert.sources.tensors import ITEM_BYTES, Tensor
from baize_convert.sources.titles import name_from_path
from baize_convert.sources.torch_file import parse_torch_file


def open_peft_adapter(
    folder: Path, weight: float = 1.0, remote: RemoteFiles | None = None
) -> Adapter:
    """Open the adapter in a folder; ``remote`` has the weights that are not in it.

    Raises:
        ConvertError: it is not an adapter, changes nothing, cannot be merged, or has an unknown
            key; the message names the field or the key.
    """
    check_small_files(folder)
    config = read_adapter_config(folder)
    source, parse = _find_weights(folder, remote)
    file = source.path
    changes: dict[str, ModuleChange] = {}
    for key, tensor in parse(source).items():
        if tensor.dtype not in ITEM_BYTES:
            raise ConvertError(f"{file}: {key} has the type {tensor.dtype}, which is not supported")
        assign_tensor(key, tensor, changes, config, folder)
    if not changes:
        raise ConvertError(f"{file} has no weights: the adapter was saved empty")
    for module, change in changes.items():
        _set_tokens(module, change, config, folder)
        check_complete(module, change, folder)
        if change.rank:
            change.scale = _scale(module, change.rank, config)
    refuse_untrained(file, changes)
    sources = (MappedFile(folder / "adapter_config.json"), source)
    return Adapter(folder, config, changes, weight, sources, name_from_path(folder))


def _find_weights(
    folder: Path, remote: RemoteFiles | None
) -> tuple[ByteSource, Callable[[ByteSource], Mapping[str, Tensor]]]:
    """The file with the weights, and the parser for it."""
    kinds: tuple[tuple[str, Callable[[ByteSource], Mapping[str, Tensor]]], ...] = (
        ("adapter_model.safetensors", parse_safetensors),
        ("adapter_model.bin", parse_torch_file),
    )
    for name, parse in kinds:
        if (folder / name).is_file():
            return MappedFile(folder / name), parse
        if remote is not None and remote.has(name):
            return remote.open(name), parse
    raise ConvertError(f"{folder} has no adapter_model.safetensors and no adapter_model.bin")


def _set_tokens(module: str, change: ModuleChange, config: AdapterConfig, folder: Path) -> None:
    if change.token_rows is None:
        return
    change.token_ids = config.token_ids(module)
    if len(change.token_ids) != change.token_rows.rows:
        raise ConvertError(
            f"{folder}: {module} has {change.token_rows.rows} trained tokens, but "
            f"trainable_token_indices names {len(change.token_ids)}"
        )


def _scale(module: str, rank: int, config: AdapterConfig) -> float:
    alpha = _pattern(config.alpha_pattern, module, config.lora_alpha)
    return alpha / math.sqrt(rank) if config.use_rslora else alpha / rank


def _pattern(patterns: Mapping[str, float], module: str, default: float) -> float:
    """The value of the first pattern that matches the end of the module's name."""
    for key, value in patterns.items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return default
