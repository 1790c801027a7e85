"""A Hugging Face folder: its shards, whatever they are, as one set of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from baize_convert.checkpoint import Checkpoint, check_tensors
from baize_convert.elsewhere import Elsewhere
from baize_convert.failures import ConvertError
from baize_convert.model_config import read_config
from baize_convert.rope import rope_factors
from baize_convert.safetensors_file import parse_safetensors
from baize_convert.stored_tensors import ByteSource, MappedFile, StoredTensor, Tensor
from baize_convert.tensor_names import is_skipped
from baize_convert.torch_file import parse_torch_file

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_TORCH, _TORCH_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"

_Read = Callable[[ByteSource], Mapping[str, Tensor]]


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def open_folder(folder: Path, elsewhere: Elsewhere | None = None) -> Checkpoint:
    """Open a folder and check that it holds the model that its config describes.

    Raises:
        ConvertError: a file or tensor is missing, damaged, of another shape, or quantized.
    """
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise ConvertError(f"{folder} is an adapter: give it with --adapter, and its base as BASE")
    config = read_config(folder)
    shards, promised, read = _shards(
        folder,
        lambda file: (folder / file).is_file() or (elsewhere is not None and elsewhere.has(file)),
    )
    tensors: dict[str, Tensor] = {}
    files: list[ByteSource] = []
    for shard in shards:
        if elsewhere is None or (folder / shard).is_file():
            files.append(MappedFile(folder / shard))
        else:
            files.append(elsewhere.open(shard))
        found = read(files[-1])
        for key, tensor in found.items():
            if not is_skipped(key):
                tensors[key] = tensor
            elif isinstance(tensor, StoredTensor):
                tensor.pass_over()
    if missing := {key for key in promised if not is_skipped(key)} - set(tensors):
        raise ConvertError(f"{folder}: {min(missing)} is in the index but in no shard")
    check_tensors(folder, config, tensors)
    factors = rope_factors(config)
    computed = {} if factors is None else {"rope_freqs.weight": factors}
    return Checkpoint(
        folder,
        config,
        tensors,
        tuple(files),
        name=None if elsewhere is None else elsewhere.label,
        commit=None if elsewhere is None else elsewhere.commit,
        computed=computed,
    )


def weight_files(folder: Path, has: Callable[[str], bool]) -> list[str]:
    """The names of the files that hold a checkpoint's weights; ``has`` knows those of the folder.

    Raises:
        ConvertError: there are none, or the index names one elsewhere.
    """
    return _shards(folder, has)[0]


def _shards(folder: Path, has: Callable[[str], bool]) -> tuple[list[str], set[str], _Read]:
    """The names of the weights' files and of the tensors in an index, and how to read a file."""
    kinds: tuple[tuple[str, str, _Read], ...] = (
        (_INDEX, _SINGLE, parse_safetensors),
        (_TORCH_INDEX, _TORCH, parse_torch_file),
    )
    for index, single, read in kinds:
        if (folder / index).is_file():
            weight_map = _read_index(folder, index)
            return sorted(set(weight_map.values())), set(weight_map), read
        if has(single):
            return [single], set(), read
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
