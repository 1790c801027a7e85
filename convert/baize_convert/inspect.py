"""Short descriptions of folders and files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from gguf import LlamaFileType
from msgspec import Struct

from baize_convert.failures import ConvertError
from baize_convert.hub.names import HUB_PREFIX, parse_name
from baize_convert.lora.adapter_folders import list_configs
from baize_convert.lora.other_formats import describe_files
from baize_convert.lora.peft_adapter import WEIGHTS
from baize_convert.opening import missing_error, open_adapter
from baize_convert.sources.gguf_file import read_gguf, read_integer, read_text
from baize_convert.sources.huggingface_folder import open_folder


class GgufDescription(Struct, frozen=True):
    """A GGUF file; ``kind`` contains its type, and keys that it lacks are None."""

    kind: str
    name: str | None
    architecture: str | None
    file_type: str | int | None
    """A name of ``llama_ftype``, or the number of an unknown one."""
    tokenizer: str | None
    pre_tokenizer: str | None
    bytes: int
    tensors: dict[str, int]
    """The number of tensors by type."""


class AdapterDescription(Struct, frozen=True):
    """A folder that PEFT saved."""

    kind: str
    folder: str
    base: str | None
    modules: int
    ranks: list[int]
    scales: list[float]
    dora: bool
    replaced: list[str]
    """Modules with tensors that replace those of the base."""


class CheckpointDescription(Struct, frozen=True):
    """A Hugging Face folder of a model."""

    kind: str
    architecture: str
    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    vocab_size: int
    tied: bool
    dtypes: dict[str, int]
    """The number of tensors by type."""
    parameters: int
    files: list[str]
    """The files with the weights."""
    notes: list[str]
    """What was ignored or repaired to open it."""


Description = GgufDescription | AdapterDescription | CheckpointDescription


def describe(path: Path) -> Description:
    """Describe a GGUF file, a PEFT adapter or a Hugging Face model; only headers are read.

    Raises:
        ConvertError: it is none of these, or damaged.
    """
    if str(path).startswith(HUB_PREFIX):
        name = str(parse_name(str(path)))
        raise ConvertError(
            f"{name} is not on this machine: 'baize-convert plan {name}' shows a model, and "
            f"'baize-convert plan BASE --adapter {name}' an adapter"
        )
    if path.name in WEIGHTS or (path.is_dir() and _has_adapter(path)):
        return _describe_adapter(path)
    if path.is_file():
        return _describe_gguf(path)
    if path.is_dir():
        return _describe_checkpoint(path)
    raise missing_error(path, "give a GGUF file, or the folder of a model or an adapter")


def _has_adapter(folder: Path) -> bool:
    """Whether it is the folder of an adapter, in any format, or has one in a folder inside it."""
    if (folder / "config.json").is_file():
        return (folder / "adapter_config.json").is_file()
    files = [file.name for file in folder.iterdir()]
    return bool(list_configs(folder)) or describe_files(files) is not None


def _describe_gguf(path: Path) -> GgufDescription:
    reader = read_gguf(path)
    file_type = read_integer(reader, "general.file_type")
    names = {int(known): known.name for known in LlamaFileType}
    return GgufDescription(
        kind=f"GGUF {read_text(reader, 'general.type') or 'model'}",
        name=read_text(reader, "general.name"),
        architecture=read_text(reader, "general.architecture"),
        file_type=None if file_type is None else names.get(file_type, file_type),
        tokenizer=read_text(reader, "tokenizer.ggml.model"),
        pre_tokenizer=read_text(reader, "tokenizer.ggml.pre"),
        bytes=path.stat().st_size,
        tensors=dict(Counter(tensor.tensor_type.name for tensor in reader.tensors).most_common()),
    )


def _describe_adapter(path: Path) -> AdapterDescription:
    adapter = open_adapter(path)
    changes = adapter.changes.values()
    return AdapterDescription(
        kind="PEFT adapter",
        folder=str(adapter.path),
        base=adapter.config.base_model_name_or_path,
        modules=len(adapter.changes),
        ranks=sorted({change.rank for change in changes if change.a is not None}),
        scales=sorted({round(scale, 6) for scale in adapter.scales}),
        dora=any(change.magnitude is not None for change in changes),
        replaced=sorted(name for name, change in adapter.changes.items() if change.replaced),
    )


def _describe_checkpoint(path: Path) -> CheckpointDescription:
    base = open_folder(path)
    config = base.config
    return CheckpointDescription(
        kind="Hugging Face model",
        architecture=config.architectures[0]
        if config.architectures
        else config.model_class.names[0],
        layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.kv_heads,
        vocab_size=config.vocab_size,
        tied="lm_head.weight" not in base.tensors,
        dtypes=dict(Counter(tensor.dtype for tensor in base.tensors.values()).most_common()),
        parameters=sum(tensor.rows * tensor.columns for tensor in base.tensors.values()),
        files=[file.path.name for file in base.files],
        notes=list(base.notes),
    )
