"""A GGUF LoRA as an adapter to merge: what ``llama_adapter_lora_init`` of llama.cpp reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from baize_convert.adapter import (
    Adapter,
    AdapterConfig,
    ModuleChange,
    complete,
    name_of,
    refuse_untrained,
)
from baize_convert.architectures import architecture_named
from baize_convert.failures import ConvertError
from baize_convert.gguf_file import GgufTensor, gguf_tensors, read_gguf, value_of
from baize_convert.stored_tensors import ArrayTensor, MappedFile
from baize_convert.tensor_names import source_of


def open_gguf_adapter(path: Path, weight: float) -> Adapter:
    """Read the adapter in a GGUF file.

    Raises:
        ConvertError: it holds none, or one that cannot be merged.
    """
    reader = read_gguf(path)
    if value_of(reader, "general.type") != "adapter" or value_of(reader, "adapter.type") != "lora":
        raise ConvertError(f"{path} holds no LoRA: it is of another kind")
    kind = architecture_named(value_of(reader, "general.architecture"), path)
    if value_of(reader, "adapter.alora.invocation_tokens") is not None:
        raise ConvertError(f"{path}: an activated LoRA counts only after its tokens: no merge")
    alpha = float(value_of(reader, "adapter.lora.alpha") or 0.0)
    changes: dict[str, ModuleChange] = {}
    for name, tensor in gguf_tensors(path, reader).items():
        target, _, part = name.rpartition(".weight.lora_")
        module = source_of(target)
        if module is None or part not in ("a", "b"):
            raise ConvertError(f"{path}: {name} belongs to no part of this architecture")
        change = changes.setdefault(module, ModuleChange())
        if part == "b":
            change.b = tensor
        else:
            change.a = _transposed(tensor) if target == "token_embd" else tensor
            change.is_embedding = target == "token_embd"
    if not changes:
        raise ConvertError(f"{path} holds no weights")
    for module, change in changes.items():
        complete(module, change, path)
        # llama.cpp's get_scale: an alpha of 0 takes B as it is.
        change.scale = alpha / change.rank if alpha else 1.0
    refuse_untrained(path, changes)
    return Adapter(path, AdapterConfig(), changes, weight, (MappedFile(path),), name_of(path), kind)


def _transposed(tensor: GgufTensor) -> ArrayTensor:
    """A of an embedding, [r, vocabulary] as PEFT has it."""
    values = np.ascontiguousarray(tensor.read().T)
    return ArrayTensor(tensor.name, tensor.dtype, values.shape, values)
