"""A Hugging Face folder: the tensors of all its weight files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from baize_convert.failures import ConvertError
from baize_convert.sources.byte_source import ByteSource, MappedFile
from baize_convert.sources.checkpoint import Checkpoint, check_tensors, without_copied_head
from baize_convert.sources.config_rules import check_rules
from baize_convert.sources.model_config import ModelConfig, read_config
from baize_convert.sources.remote_files import RemoteFiles
from baize_convert.sources.rope import rope_tensors
from baize_convert.sources.safetensors_file import parse_safetensors
from baize_convert.sources.tensor_names import is_skipped
from baize_convert.sources.tensors import StoredTensor, Tensor
from baize_convert.sources.torch_file import parse_torch_file

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_TORCH, _TORCH_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"

_Parser = Callable[[ByteSource], Mapping[str, Tensor]]


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


@dataclass(frozen=True)
class _WeightFiles:
    """The files with the weights, the tensors that an index names, and the parser of a file."""

    names: list[str]
    indexed: set[str]
    parse: _Parser


def open_folder(folder: Path, remote: RemoteFiles | None = None) -> Checkpoint:
    """Open a folder and check that its tensors are those of the model in its config.

    ``remote`` has the weights that are not in the folder.

    Raises:
        ConvertError: a file or tensor is missing, damaged, of another shape, or quantized.
    """
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise ConvertError(f"{folder} is an adapter: give it with --adapter, and its base as BASE")
    config = read_config(folder)
    check_rules(folder / "config.json", config)
    weights = _find_weights(
        folder,
        lambda file: (folder / file).is_file() or (remote is not None and remote.has(file)),
    )
    tensors: dict[str, Tensor] = {}
    files: list[ByteSource] = []
    for name in weights.names:
        if remote is None or (folder / name).is_file():
            files.append(MappedFile(folder / name))
        else:
            files.append(remote.open(name))
        for key, tensor in weights.parse(files[-1]).items():
            if not is_skipped(key, multimodal=config.is_multimodal):
                tensors[_text_name(key, config)] = tensor
            elif isinstance(tensor, StoredTensor):
                tensor.skip()
    indexed = {
        _text_name(key, config)
        for key in weights.indexed
        if not is_skipped(key, multimodal=config.is_multimodal)
    }
    if missing := indexed - set(tensors):
        raise ConvertError(f"{folder}: {min(missing)} is in the index but in no file")
    check_tensors(folder, config, tensors)
    return Checkpoint(
        folder,
        config,
        without_copied_head(config, tensors),
        tuple(files),
        name=None if remote is None else remote.label,
        commit=None if remote is None else remote.commit,
        computed=rope_tensors(config),
    )


def _text_name(name: str, config: ModelConfig) -> str:
    """The name of a tensor in the text part alone: without ``language_model.``."""
    if not config.is_multimodal or "language_model." not in name:
        return name
    name = name.replace("language_model.", "").removeprefix("model.")
    return name if name.startswith(("model.", "lm_head.")) else f"model.{name}"


def weight_files(folder: Path, exists: Callable[[str], bool]) -> list[str]:
    """The names of the files with a checkpoint's weights; ``exists`` looks for a name.

    Raises:
        ConvertError: there are none, or the index names a file outside the folder.
    """
    return _find_weights(folder, exists).names


def _find_weights(folder: Path, exists: Callable[[str], bool]) -> _WeightFiles:
    kinds: tuple[tuple[str, str, _Parser], ...] = (
        (_INDEX, _SINGLE, parse_safetensors),
        (_TORCH_INDEX, _TORCH, parse_torch_file),
    )
    for index, single, parse in kinds:
        if (folder / index).is_file():
            weight_map = _read_index(folder, index)
            return _WeightFiles(sorted(set(weight_map.values())), set(weight_map), parse)
        if exists(single):
            return _WeightFiles([single], set(), parse)
    raise ConvertError(f"{folder} has no {_SINGLE}, no {_INDEX} and no {_TORCH}")


def _read_index(folder: Path, name: str) -> dict[str, str]:
    try:
        index = msgspec.json.decode((folder / name).read_bytes(), type=_Index)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConvertError(f"{folder / name}: {error}") from error
    for shard in index.weight_map.values():
        if Path(shard).name != shard:
            raise ConvertError(f"{folder / name}: the shard {shard!r} is not in the folder")
    return index.weight_map
