"""A short description of a folder or a file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from gguf import LlamaFileType

from baize_convert.failures import ConvertError
from baize_convert.lora.peft_adapter import open_peft_adapter
from baize_convert.sources.gguf_file import read_gguf, read_value
from baize_convert.sources.huggingface_folder import open_folder


def describe(path: Path) -> dict[str, Any]:
    """Describe a GGUF file, a PEFT adapter or a Hugging Face model; only headers are read.

    Raises:
        ConvertError: it is none of these, or damaged.
    """
    if path.is_file():
        return _describe_gguf(path)
    if (path / "adapter_config.json").is_file():
        return _describe_adapter(path)
    if path.is_dir():
        return _describe_checkpoint(path)
    raise ConvertError(f"{path}: no such folder and no such file")


def _describe_gguf(path: Path) -> dict[str, Any]:
    reader = read_gguf(path)

    def value(key: str) -> Any:
        return read_value(reader, key)

    file_type = value("general.file_type")
    is_known = file_type in set(map(int, LlamaFileType))
    return {
        "kind": f"GGUF {value('general.type') or 'model'}",
        "name": value("general.name"),
        "architecture": value("general.architecture"),
        "file_type": LlamaFileType(file_type).name if is_known else file_type,
        "tokenizer": value("tokenizer.ggml.model"),
        "pre_tokenizer": value("tokenizer.ggml.pre"),
        "bytes": path.stat().st_size,
        "tensors": dict(
            Counter(tensor.tensor_type.name for tensor in reader.tensors).most_common()
        ),
    }


def _describe_adapter(path: Path) -> dict[str, Any]:
    adapter = open_peft_adapter(path)
    changes = adapter.changes.values()
    return {
        "kind": "PEFT adapter",
        "base": adapter.config.base_model_name_or_path,
        "modules": len(adapter.changes),
        "ranks": sorted({change.rank for change in changes if change.a is not None}),
        "scales": sorted({round(scale, 6) for scale in adapter.scales}),
        "dora": any(change.magnitude is not None for change in changes),
        "replaced": sorted(name for name, change in adapter.changes.items() if change.replaced),
    }


def _describe_checkpoint(path: Path) -> dict[str, Any]:
    base = open_folder(path)
    config = base.config
    return {
        "kind": "Hugging Face model",
        "architecture": next(iter(config.architectures), "LlamaForCausalLM"),
        "layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "heads": config.num_attention_heads,
        "kv_heads": config.kv_heads,
        "vocab_size": config.vocab_size,
        "tied": "lm_head.weight" not in base.tensors,
        "dtypes": dict(Counter(tensor.dtype for tensor in base.tensors.values()).most_common()),
        "parameters": sum(tensor.rows * tensor.columns for tensor in base.tensors.values()),
    }
