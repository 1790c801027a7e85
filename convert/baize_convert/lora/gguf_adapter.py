"""A GGUF LoRA as an adapter to merge, read as ``llama_adapter_lora_init`` of llama.cpp does."""

from __future__ import annotations

from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.lora.adapter import Adapter, ModuleChange, check_complete, refuse_untrained
from baize_convert.lora.peft_config import AdapterConfig
from baize_convert.sources.architectures import parse_architecture
from baize_convert.sources.byte_source import MappedFile
from baize_convert.sources.gguf_file import gguf_tensors, read_gguf, read_number, read_value
from baize_convert.sources.tensor_names import source_module
from baize_convert.sources.tensors import transposed
from baize_convert.sources.titles import name_from_path


def open_gguf_adapter(path: Path, weight: float) -> Adapter:
    """Open the adapter in a GGUF file.

    Raises:
        ConvertError: it is not a LoRA, or one that cannot be merged.
    """
    reader = read_gguf(path)
    if (
        read_value(reader, "general.type") != "adapter"
        or read_value(reader, "adapter.type") != "lora"
    ):
        raise ConvertError(f"{path} is not a LoRA, but a GGUF of another kind; a model is BASE")
    architecture = parse_architecture(read_value(reader, "general.architecture"), path)
    if read_value(reader, "adapter.alora.invocation_tokens") is not None:
        raise ConvertError(
            f"{path}: an activated LoRA applies only after certain tokens and cannot be merged"
        )
    alpha = float(read_number(reader, "adapter.lora.alpha") or 0.0)
    changes: dict[str, ModuleChange] = {}
    for name, tensor in gguf_tensors(path, reader).items():
        target, _, part = name.rpartition(".weight.lora_")
        module = source_module(architecture, target)
        if module is None or part not in ("a", "b"):
            raise ConvertError(f"{path}: this architecture has no tensor {name}")
        change = changes.setdefault(module, ModuleChange())
        if part == "b":
            change.b = tensor
        else:
            change.is_embedding = target == "token_embd"
            # PEFT stores A of an embedding as [r, vocabulary].
            change.a = transposed(tensor) if change.is_embedding else tensor
    if not changes:
        raise ConvertError(f"{path} has no weights")
    for module, change in changes.items():
        check_complete(module, change, path)
        # As get_scale of llama.cpp: with an alpha of 0 the scale is 1.
        change.scale = alpha / change.rank if alpha else 1.0
    refuse_untrained(path, changes)
    return Adapter(
        path,
        AdapterConfig(),
        changes,
        weight,
        (MappedFile(path),),
        name_from_path(path),
        architecture,
    )
