"""Formats of weights that cannot be read, by the names of their files."""

from __future__ import annotations

import re
from collections.abc import Collection

_SAVE_AGAIN = "load the model with transformers, and save it with save_pretrained"
_FORMATS: tuple[tuple[str, str], ...] = (
    (
        r"consolidated.*\.(?:pth|safetensors)|params\.json",
        "{name} is Meta's or Mistral's own format: use the model in the format of transformers, "
        "or convert it with the script for it in transformers (convert_…_weights_to_hf.py)",
    ),
    (r".*\.gguf", "give the file {name} itself as BASE"),
    (r"adapter_model\..*", "{name} is an adapter: give the folder with --adapter"),
    (r"tf_model.*\.h5|.*\.h5", "{name} is for TensorFlow: " + _SAVE_AGAIN + " in PyTorch"),
    (r"flax_model.*\.msgpack", "{name} is for Flax: " + _SAVE_AGAIN + " in PyTorch"),
    (
        r".*\.distcp|pytorch_model_fsdp.*",
        "{name} belongs to a training checkpoint of FSDP: gather it with accelerate merge-weights",
    ),
    (
        r"zero_to_fp32\.py|latest",
        "it is a training checkpoint of DeepSpeed: gather it with python zero_to_fp32.py . .",
    ),
    (r".*\.npz", "{name} is an old format of MLX: use the model in the format of transformers"),
    (r".*\.nemo", "{name} is NVIDIA NeMo's format: use the model in the format of transformers"),
    (r".*\.onnx", "{name} is for ONNX: use the model in the format of transformers"),
    (r".*\.safetensors", "rename {name} to model.safetensors if it is the model"),
    (r".*\.(?:pt|pth|ckpt)", "{name} is a file of a training program: " + _SAVE_AGAIN),
)


def foreign_weights(files: Collection[str]) -> str | None:
    """What the weights among ``files`` are, and what to do; None if there are none known."""
    for pattern, text in _FORMATS:
        names = [name for name in sorted(files) if re.fullmatch(pattern, name)]
        if names:
            return text.format(name=names[0])
    return None
