"""A Hugging Face folder: the tensors of all its weight files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.sources.byte_source import ByteSource, MappedFile
from baize_convert.sources.checkpoint import (
    Checkpoint,
    check_tensors,
    expected_shapes,
    without_copied_head,
)
from baize_convert.sources.config_rules import check_rules
from baize_convert.sources.folder_files import (
    FolderFiles,
    cached_repository,
    dangling_text,
    download_text,
    list_files,
    snapshot_folder,
)
from baize_convert.sources.foreign_weights import foreign_weights
from baize_convert.sources.model_config import ModelConfig, read_config
from baize_convert.sources.quantized_weights import read_quantized
from baize_convert.sources.remote_files import RemoteFiles
from baize_convert.sources.rope import rope_tensors
from baize_convert.sources.small_files import check_small_files
from baize_convert.sources.tensor_names import is_skipped
from baize_convert.sources.tensors import ITEM_BYTES, StoredTensor, Tensor
from baize_convert.sources.tied_head import HEAD, tie_head
from baize_convert.sources.weight_files import (
    WeightFiles,
    find_weight_files,
    incomplete_text,
)
from baize_convert.sources.wrapped_names import tensor_name, unwrap_names

_VALUE_HEAD = "v_head."
"""Beginning of the names that TRL gives the value head of reinforcement learning."""
_PEFT_PARTS = (".lora_A.", ".lora_B.", ".base_layer.", ".modules_to_save.", ".lora_magnitude")


def open_folder(folder: Path, remote: RemoteFiles | None = None) -> Checkpoint:
    """Open a folder and check that its tensors are those of the model in its config.

    ``remote`` has the weights that are not in the folder. The folder of a repository in the hub's
    cache stands for its snapshot.

    Raises:
        ConvertError: a file or tensor is missing, damaged, of another shape, or quantized in a way
            that cannot be read.
    """
    given, folder = folder, snapshot_folder(folder)
    notes = [] if folder == given else [f"{given}: its snapshot {folder.name} counts"]
    local = list_files(folder)
    check_small_files(folder)
    files = local.names if remote is None else local.names | remote.files
    _refuse_other_kinds(folder, files)
    config = read_config(folder)
    check_rules(folder / "config.json", config)
    weights = _find_weights(folder, files, local if remote is None else None)
    notes += weights.notes
    if "adapter_config.json" in files:
        notes.append(f"{folder}: adapter_config.json is ignored: only --adapter merges an adapter")
    opened = _open_weights(folder, config, weights, local.names, remote)
    notes += opened.notes
    try:
        tensors, quantized = read_quantized(
            folder, opened.tensors, expected_shapes(config), config.quantization_config
        )
        notes += [*quantized, *_check_index(folder, config, weights, tensors, files)]
        notes += tie_head(folder, tensors, tied=config.tie_word_embeddings)
        check_tensors(folder, config, tensors)
    except ConvertError as error:
        if weights.choice is None:
            raise
        raise ConvertError(f"{error} ({weights.choice})") from error
    name, commit = _cached_commit(folder) if remote is None else (remote.label, remote.commit)
    return Checkpoint(
        folder,
        config,
        without_copied_head(config, tensors),
        tuple(opened.files),
        name=name,
        commit=commit,
        computed=rope_tensors(config),
        notes=tuple(notes),
    )


def _cached_commit(folder: Path) -> tuple[str | None, str | None]:
    """Repository and commit of a snapshot in the hub's cache; None for other folders."""
    full = folder.absolute()
    if full.parent.name == "snapshots" and (repository := cached_repository(full)):
        return repository, full.name
    return None, None


@dataclass
class _Opened:
    """The files with the weights, open, and the tensors in all of them."""

    files: list[ByteSource] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def _open_weights(
    folder: Path,
    config: ModelConfig,
    weights: WeightFiles,
    local: Collection[str],
    remote: RemoteFiles | None,
) -> _Opened:
    """Open the files with the weights, of which ``local`` are in the folder."""
    opened = _Opened()
    wrapped: dict[str, Tensor] = {}
    for name in weights.names:
        file = MappedFile(folder / name) if remote is None or name in local else remote.open(name)
        opened.files.append(file)
        stored = weights.parse(file)
        _refuse_peft(file, stored)
        for key, tensor in stored.items():
            skipped = is_skipped(tensor_name(key), multimodal=config.is_multimodal)
            if skipped or key.startswith(_VALUE_HEAD):
                if isinstance(tensor, StoredTensor):
                    tensor.skip()
            elif key not in wrapped:
                wrapped[key] = tensor
            elif not _is_same(wrapped[key], tensor):
                raise ConvertError(
                    f"{folder}: {key} is in two files, and differs in {name}: remove the files of "
                    "another model"
                )
        if any(key.startswith(_VALUE_HEAD) for key in stored):
            opened.notes.append(f"{file.path}: {_VALUE_HEAD}* is left out: it only serves training")
    opened.tensors, notes = unwrap_names(wrapped, folder)
    if not config.is_multimodal:  # all names of its text part begin with language_model
        opened.notes += notes
    return opened


def _refuse_peft(file: ByteSource, names: Collection[str]) -> None:
    keys = [name for name in names if any(part in name for part in _PEFT_PARTS)]
    if keys and len(keys) == len(names):
        raise ConvertError(f"{file.path} is an adapter: give its folder with --adapter")
    if keys:
        raise ConvertError(
            f"{file.path}: {keys[0]} belongs to a whole PEFT model, saved by its state_dict: save "
            "what merge_and_unload() returns, or the adapter alone by save_pretrained"
        )


def _is_same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.dtype in ITEM_BYTES and one.equals(other)


def _find_weights(folder: Path, files: frozenset[str], local: FolderFiles | None) -> WeightFiles:
    """``find_weight_files``; if it fails, the reason may be a dangling link."""
    try:
        return find_weight_files(folder, files)
    except ConvertError as error:
        if local is None:
            raise
        for name in sorted(local.dangling):
            if name.endswith((".safetensors", ".bin", ".index.json")):
                raise ConvertError(dangling_text(folder, name)) from error
        raise


def _refuse_other_kinds(folder: Path, files: Collection[str]) -> None:
    """Check that the folder has a config.

    Raises:
        ConvertError: it has none; the message says what it has instead.
    """
    if "config.json" in files:
        return
    if "adapter_config.json" in files:
        raise ConvertError(f"{folder} is an adapter: give it with --adapter, and its base as BASE")
    text = f"{folder} has no config.json: not a Hugging Face model"
    if foreign := foreign_weights(files):
        raise ConvertError(f"{text}; {foreign}")
    if inner := sorted(path.parent for path in folder.glob("*/config.json")):
        raise ConvertError(f"{text}; {inner[-1]} has one")
    if repositories := sorted(folder.glob("models--*")):
        raise ConvertError(f"{text}; give one of the folders in it, such as {repositories[0].name}")
    if cached_repository(folder):
        raise ConvertError(f"{text}: {download_text(folder)}")
    raise ConvertError(text)


def _check_index(
    folder: Path,
    config: ModelConfig,
    weights: WeightFiles,
    tensors: Collection[str],
    files: Collection[str],
) -> list[str]:
    """Check that the files have the tensors of the model that the index names; notes.

    Raises:
        ConvertError: a tensor or a shard is missing.
    """
    indexed = {tensor_name(name) for name in weights.indexed}
    lost = {
        name
        for name in expected_shapes(config)
        if name not in tensors
        and (name in indexed or (weights.missing and name.endswith(".weight")))
        and not (name == HEAD and config.tie_word_embeddings)
    }
    if lost and weights.missing:
        raise ConvertError(incomplete_text(folder, [*weights.names, *weights.missing], files))
    if lost:
        raise ConvertError(f"{folder}: {min(lost)} is in the index but in no file")
    if weights.missing:
        return [
            f"{folder}: {weights.missing[0]} is in the index and not in the folder; the other "
            "files have all tensors"
        ]
    return []


def weight_files(folder: Path, files: Collection[str]) -> list[str]:
    """The names of those of ``files`` that have a checkpoint's weights.

    Raises:
        ConvertError: see ``find_weight_files``.
    """
    return list(find_weight_files(folder, files).names)
