"""Adapters that are not a LoRA of PEFT: what they are called, and what to do with them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

_PROMPT_TYPES = frozenset(
    {
        "ADAPTION_PROMPT",
        "CARTRIDGE",
        "CPT",
        "MULTITASK_PROMPT_TUNING",
        "PREFIX_TUNING",
        "PROMPT_TUNING",
        "P_TUNING",
    }
)
_ROUTING_TYPES = frozenset({"POLY", "XLORA"})
_MERGE_WITH_PEFT = "give the model that PEFT's merge_and_unload() makes as BASE"
_FUSE_WITH_MLX = (
    "an adapter of MLX, which PEFT cannot read either: merge it with 'mlx_lm.fuse --dequantize', "
    "and give the folder that makes as BASE"
)
_OF_IMAGE_MODELS = "for an image model, not for a language model"
_KEYS: tuple[tuple[str, str], ...] = (
    (r"\.lora_[ab]$", _FUSE_WITH_MLX),
    (r"\.lora_[ab]\.weight$", "torchtune's own format: let it save in the format of PEFT"),
    (r"^lora_(unet|te\d?)_", f"a LoRA of kohya's scripts, {_OF_IMAGE_MODELS}"),
    (r"\.lora_(down|up)\.weight$", "a LoRA in kohya's format, not PEFT's"),
    (
        r"^(unet|transformer|text_encoder\w*)\.|\.lora\.(down|up)\.",
        f"Diffusers', {_OF_IMAGE_MODELS}",
    ),
    (r"\.(hada_w\d|lokr_w\d|lokr_t\d|oft_blocks|boft_\w+)", "of LyCORIS, which is not LoRA"),
    (
        r"\.(absmax|quant_map|quant_state\.\w+|SCB|qweight|qzeros)$",
        "of a quantized base, which was saved together with the adapter: save the adapter alone "
        "with PEFT's save_pretrained()",
    ),
    (r"(^|\.)(exp_avg|exp_avg_sq|optimizer|state)(\.|$)", "of an optimizer: not an adapter"),
    (r"flat_param", "a flattened shard of FSDP: gather the full state dict, and save again"),
    (r"^v_head\.", "the value head of a training with rewards, which a GGUF cannot contain"),
)


def describe_peft_type(peft_type: str) -> str:
    """Why an adapter of this ``peft_type``, which is not ``LORA``, cannot be merged."""
    if peft_type in _PROMPT_TYPES:
        return f"peft_type {peft_type} adds tokens, not weights: it cannot be merged into a model"
    if peft_type in _ROUTING_TYPES:
        return f"peft_type {peft_type} chooses weights for each input, and cannot be merged"
    return f"peft_type {peft_type} is not LoRA: {_MERGE_WITH_PEFT}"


def describe_config(fields: Mapping[str, Any]) -> str:
    """What wrote an ``adapter_config.json`` with these fields, which has no ``peft_type``."""
    if fields.keys() & {"lora_parameters", "fine_tune_type", "lora_layers"}:
        return _FUSE_WITH_MLX
    if fields.keys() & {"model_class", "hidden_size"}:
        return "an adapter of the library 'adapters' (AdapterHub), not of PEFT"
    return "not an adapter of PEFT"


def describe_files(names: Iterable[str]) -> str | None:
    """What adapter a folder with these files has, if it is known and not PEFT's."""
    files = set(names)
    if files & {"adapters.safetensors", "adapters.npz"}:
        return _FUSE_WITH_MLX
    if "pytorch_lora_weights.safetensors" in files:
        return f"a LoRA of Diffusers, {_OF_IMAGE_MODELS}"
    if "pytorch_adapter.bin" in files:
        return "an adapter of the library 'adapters' (AdapterHub), not of PEFT"
    if ggufs := sorted(name for name in files if name.endswith(".gguf")):
        return f"a folder with GGUF files: give the file, such as {ggufs[0]}"
    if files & {"zero_to_fp32.py", "pytorch_model_fsdp.bin"}:
        return (
            "a checkpoint of DeepSpeed or FSDP, with the state of the training: save the adapter "
            "with PEFT's save_pretrained()"
        )
    return None


_TRAINED_BESIDE = {
    "trainable_params.bin": "LongLoRA",
    "non_lora_trainables.bin": "LLaVA's trainer",
}
"""Files with weights that a program trained besides the LoRA, and which PEFT does not load."""


def describe_trained_beside(names: Collection[str]) -> Iterator[str]:
    """Which of these files, beside an adapter of PEFT, have weights that PEFT does not load."""
    for name, program in _TRAINED_BESIDE.items():
        if name in names:
            yield (
                f"{name} has weights that {program} trained besides the LoRA, and is not merged, "
                f"as PEFT does not load it: if they matter, give the model that {program} merges "
                "as BASE"
            )


def describe_key(key: str) -> str | None:
    """What a key of weights belongs to, if it is known and not PEFT's LoRA."""
    return next((text for pattern, text in _KEYS if re.search(pattern, key)), None)
