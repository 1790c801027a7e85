"""The BASE and ``--adapter`` arguments of every command: folders, GGUF files and hub names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.hub.cache import cache_adapter
from baize_convert.hub.names import HUB_PREFIX, parse_name
from baize_convert.hub.repository import open_repository
from baize_convert.lora.adapter import Adapter
from baize_convert.lora.gguf_adapter import open_gguf_adapter
from baize_convert.lora.peft_adapter import open_peft_adapter
from baize_convert.sources.checkpoint import Checkpoint
from baize_convert.sources.gguf_checkpoint import open_gguf
from baize_convert.sources.huggingface_folder import open_folder
from baize_convert.sources.number_ranges import FLOAT32_MAX
from baize_shared.named_numbers import parse_named_number

_IN_FOLDER = (".safetensors", ".bin", ".json", ".pth", ".pt")
"""Extensions of files that are a model only with the others in their folder."""


def open_base(base: Path | str) -> Checkpoint:
    """Open a Hugging Face folder, a GGUF file or a model on the hub, and check it.

    Only headers are read.

    Raises:
        ConvertError: it is not a model that can be converted; the message names what is missing or
            wrong.
    """
    if str(base).startswith(HUB_PREFIX):
        repository = open_repository(parse_name(str(base)))
        return open_folder(repository.folder, repository)
    path = Path(base)
    if path.is_dir():
        return open_folder(path)
    if path.is_file() and path.suffix in _IN_FOLDER:
        raise ConvertError(f"{path} is one file of a model: give its folder, {path.parent}")
    if path.is_file():
        return open_gguf(path)
    raise ConvertError(f"{path}: no such folder and no such file")


def open_adapter(
    adapter: Path | str, weight: float = 1.0, *, download_weights: bool = True
) -> Adapter:
    """Open a PEFT folder, a GGUF LoRA or an adapter on the hub; ``weight`` multiplies its changes.

    With ``download_weights``, the weights of an adapter on the hub are downloaded into the hub's
    cache. Without it they are read by ranges, which is enough for a plan.

    Raises:
        ConvertError: it is not an adapter, or one that cannot be merged; the message names the
            field or key.
    """
    if str(adapter).startswith(HUB_PREFIX):
        name = parse_name(str(adapter))
        repository = open_repository(name)
        if download_weights:
            cache_adapter(repository)
        opened = open_peft_adapter(repository.folder, weight, repository)
        return replace(opened, name=name.repo.partition("/")[2], commit=repository.commit)
    path = Path(adapter)
    if path.is_file():
        return open_gguf_adapter(path, weight)
    if path.is_dir():
        return open_peft_adapter(path, weight)
    raise ConvertError(f"{path}: no such folder and no such file")


def open_adapters(arguments: Iterable[str], *, download_weights: bool = True) -> list[Adapter]:
    """Open adapters written as ``PATH`` or ``PATH=WEIGHT``; see ``open_adapter``.

    Raises:
        ConvertError: see ``open_adapter``; or a weight is not a number.
    """
    adapters = []
    for argument in arguments:
        try:
            path, weight = parse_named_number(argument)
        except ValueError as error:
            raise ConvertError(f"--adapter {argument}: {error}") from None
        if abs(weight) > FLOAT32_MAX:
            raise ConvertError(f"--adapter {argument}: the weight is too large")
        adapters.append(open_adapter(path, weight, download_weights=download_weights))
    return adapters
