"""The BASE and ``--adapter`` arguments of every command: folders, GGUF files and hub names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.hub.cache import cache_adapter
from baize_convert.hub.names import HUB_PREFIX, HubName, parse_name
from baize_convert.hub.repository import open_repository
from baize_convert.lora.adapter import Adapter
from baize_convert.lora.adapter_folders import choose_adapter, list_configs
from baize_convert.lora.gguf_adapter import open_gguf_adapter
from baize_convert.lora.other_formats import describe_files, describe_key
from baize_convert.lora.peft_adapter import WEIGHTS, open_peft_adapter
from baize_convert.sources.byte_source import MappedFile
from baize_convert.sources.checkpoint import Checkpoint
from baize_convert.sources.gguf_checkpoint import open_gguf
from baize_convert.sources.huggingface_folder import open_folder
from baize_convert.sources.safetensors_file import parse_safetensors
from baize_shared.named_numbers import parse_named_number
from baize_shared.number_limits import LARGEST_FLOAT

_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_HUB_ADDRESS = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<repo>[\w-][\w.-]*/[\w.-]+)"
    r"(?:/tree/(?P<revision>[\w.-]+)(?P<folder>(?:/[\w. -]+)*))?/?"
)
"""As the browser shows it."""
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz")


def open_base(base: Path | str) -> Checkpoint:
    """Open a Hugging Face folder, a GGUF file or a model on the hub, and check it.

    Only headers are read.

    Raises:
        ConvertError: it is not a model that can be converted; the message names what is missing or
            wrong.
    """
    if str(base).startswith(HUB_PREFIX):
        name = parse_name(str(base))
        repository = open_repository(name)
        folder = repository.folder / name.subfolder
        with _name_in_errors(folder, name):
            return open_folder(folder, repository.subfolder(name.subfolder))
    path = Path(base)
    if path.is_dir():
        return open_folder(path)
    if path.is_file():
        if path.suffix in (*_WEIGHTS, ".json"):
            raise ConvertError(f"{path} is one file of a model: give its folder, {path.parent}")
        return open_gguf(path)
    raise missing_error(base, "a model is a Hugging Face folder, a GGUF file or hf:owner/name")


def open_adapter(
    adapter: Path | str, weight: float = 1.0, *, download_weights: bool = True
) -> Adapter:
    """Open a PEFT folder, a GGUF LoRA or an adapter on the hub; ``weight`` multiplies its changes.

    A folder may contain the adapter in one of the folders inside it. With ``download_weights``, the
    weights of an adapter on the hub are downloaded into the hub's cache. Without it they are read
    by ranges, which is enough for a plan.

    Raises:
        ConvertError: it is not an adapter, or one that cannot be merged; the message names the
            field or key.
    """
    if str(adapter).startswith(HUB_PREFIX):
        return _open_hub_adapter(parse_name(str(adapter)), weight, download_weights)
    path = Path(adapter)
    if path.name in WEIGHTS and path.is_file():
        path = path.parent
    if path.is_file():
        if path.suffix in _WEIGHTS:
            raise ConvertError(f"{path}: {_describe_weights(path)}")
        return open_gguf_adapter(path, weight)
    if path.is_dir():
        folder = path / choose_adapter(str(path), list_configs(path))
        return _as_given(path, open_peft_adapter(folder, weight), str(path))
    raise missing_error(adapter, "an adapter is a folder of PEFT, a GGUF file or hf:owner/name")


def _open_hub_adapter(name: HubName, weight: float, download_weights: bool) -> Adapter:
    repository = open_repository(name)
    folder = choose_adapter(str(name), repository.files, name.subfolder)
    if not repository.has(f"{folder}/adapter_config.json".removeprefix("/")):
        inside = (file.removeprefix(f"{folder}/") for file in repository.files)
        format = describe_files(inside) or "not a PEFT adapter"
        raise ConvertError(f"{name} has no adapter_config.json: {format}")
    if download_weights:
        cache_adapter(repository, folder)
    with _name_in_errors(repository.folder / folder, replace(name, subfolder=folder)):
        opened = open_peft_adapter(repository.folder / folder, weight, repository.subfolder(folder))
    opened = _as_given(repository.folder / name.subfolder, opened, str(name))
    return replace(opened, name=name.repo.partition("/")[2], commit=repository.commit)


@contextmanager
def _name_in_errors(folder: Path, name: HubName) -> Iterator[None]:
    """Call a folder of the hub's cache by its name on the hub, which the user knows."""
    try:
        yield
    except ConvertError as error:
        raise ConvertError(str(error).replace(str(folder), str(name))) from error


def _as_given(given: Path, adapter: Adapter, label: str) -> Adapter:
    """``adapter`` with the name of the folder that was given, and a note if it is inside it."""
    if adapter.path == given:
        return adapter
    note = f"{label}: the adapter in its folder {adapter.path.relative_to(given)} is used"
    return replace(adapter, name=given.resolve().name, parent=given, notes=(note, *adapter.notes))


def open_adapters(arguments: Iterable[str], *, download_weights: bool = True) -> list[Adapter]:
    """Open adapters written as ``PATH`` or ``PATH=WEIGHT``; see ``open_adapter``.

    Raises:
        ConvertError: see ``open_adapter``; or a weight is not a number.
    """
    adapters: list[Adapter] = []
    for argument in arguments:
        try:
            path, weight = parse_named_number(argument)
        except ValueError as error:
            raise ConvertError(
                f"--adapter {argument}: {error}; write --adapter ADAPTER=WEIGHT, such as "
                "my-lora=0.5, to apply a part of an adapter"
            ) from None
        if abs(weight) > LARGEST_FLOAT:
            raise ConvertError(f"--adapter {argument}: the weight is too large")
        if not path or (path != argument and not _exists(path)):
            raise ConvertError(
                f"--adapter {argument}: there is no adapter {path!r} to apply with the weight "
                f"{weight:g}; an adapter is a folder of PEFT, a GGUF file or hf:owner/name"
            )
        adapter = open_adapter(path, weight, download_weights=download_weights)
        if any(adapter.path.resolve() == other.path.resolve() for other in adapters):
            raise ConvertError(
                f"--adapter {argument}: it is given twice, and its changes would add up; to apply "
                f"a multiple of them, give one weight, as in {path}=2"
            )
        adapters.append(adapter)
    return adapters


def _exists(path: str) -> bool:
    return path.startswith(HUB_PREFIX) or Path(path).exists()


def missing_error(argument: Path | str, expected: str) -> ConvertError:
    """The error for an argument that is not on this machine; ``expected`` says what it may be."""
    hint, text = "", str(argument)
    if (address := _HUB_ADDRESS.fullmatch(text)) is not None:
        revision = address["revision"] or "main"
        text = f"{address['repo']}{address['folder'] or ''}"
        text += "" if revision == "main" else f"@{revision}"
        hint = f"; for a repository on the hub, write {HUB_PREFIX}{text}"
    elif _REPOSITORY.fullmatch(text):
        hint = f"; for a repository on the hub, write {HUB_PREFIX}{text}"
    return ConvertError(f"{argument}: no such folder and no such file; {expected}{hint}")


def _describe_weights(file: Path) -> str:
    """What adapter a file of weights is, which was given without its folder."""
    if file.suffix == ".safetensors":
        for key in parse_safetensors(MappedFile(file)):
            if (format := describe_key(key)) is not None:
                return format
    return describe_files([file.name]) or (
        "a file of weights alone: give the folder with its adapter_config.json"
    )
