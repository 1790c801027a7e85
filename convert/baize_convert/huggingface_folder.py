"""A Hugging Face folder: its shards, whatever they are, as one set of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from baize_convert.checkpoint import Checkpoint, check_tensors
from baize_convert.failures import ConvertError
from baize_convert.model_config import read_config
from baize_convert.rope import rope_factors
from baize_convert.safetensors_file import read_safetensors
from baize_convert.stored_tensors import Tensor
from baize_convert.tensor_names import is_skipped
from baize_convert.torch_file import read_torch_file

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_TORCH, _TORCH_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"

_Read = Callable[[Path], Mapping[str, Tensor]]


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def open_folder(folder: Path) -> Checkpoint:
    """Open a folder and check that it holds the model that its config describes.

    Raises:
        ConvertError: a file or tensor is missing, damaged, of another shape, or quantized.
    """
    config = read_config(folder)
    files, names, read = _shards(folder)
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors |= {name: tensor for name, tensor in read(file).items() if not is_skipped(name)}
    if missing := {name for name in names if not is_skipped(name)} - set(tensors):
        raise ConvertError(f"{folder}: {min(missing)} is in the index but in no shard")
    check_tensors(folder, config, tensors)
    factors = rope_factors(config)
    computed = {} if factors is None else {"rope_freqs.weight": factors}
    return Checkpoint(folder, config, tensors, tuple(files), computed)


def _shards(folder: Path) -> tuple[list[Path], set[str], _Read]:
    """The files of the weights, the names that an index promises, and how to read a file."""
    kinds: tuple[tuple[str, str, _Read], ...] = (
        (_INDEX, _SINGLE, read_safetensors),
        (_TORCH_INDEX, _TORCH, read_torch_file),
    )
    for index, single, read in kinds:
        if (folder / index).is_file():
            weight_map = _read_index(folder, index)
            shards = sorted(set(weight_map.values()))
            return [folder / shard for shard in shards], set(weight_map), read
        if (folder / single).is_file():
            return [folder / single], set(), read
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
