"""``adapter_config.json`` of an adapter that PEFT saved.

Every field of ``LoraConfig`` (peft/tuners/lora/config.py) has a place here: it is read, has no
effect on the merged weights, or is refused by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_convert.failures import ConvertError
from baize_convert.lora.other_formats import describe_config, describe_peft_type
from baize_convert.sources.json_content import decode_json
from baize_convert.sources.number_ranges import check_numbers
from baize_shared.json_errors import JSON_ERRORS

_INITS_OF_LORA = ("gaussian", "eva", "orthogonal", "mica")
"""Values of ``init_lora_weights`` that leave the base as it is, besides true and false."""
_INITS_OF_BASE = {
    "pissa": "PiSSA",
    "olora": "OLoRA",
    "corda": "CorDA",
    "lora_ga": "LoRA-GA",
    "loftq": "LoftQ",
}
"""Prefixes of ``init_lora_weights`` that subtract the first A and B from the base, or quantize it.
(``LoraLayer.update_layer`` and the methods it calls, peft/tuners/lora/layer.py.)"""
FIELDS_WITHOUT_EFFECT = {
    "auto_mapping": "the class of the model that was trained",
    "corda_config": "only with init_lora_weights",
    "enable_lora": "only in PEFT before 0.3, for GPT-2",
    "ephemeral_gpu_offload": "where PEFT computes",
    "eva_config": "only with init_lora_weights",
    "fan_in_fan_out": "only for Conv1D, which no LLaMA has",
    "inference_mode": "training",
    "loftq_config": "only with init_lora_weights",
    "lora_dropout": "training",
    "lora_ga_config": "only with init_lora_weights",
    "megatron_core": "only with megatron_config",
    "merge_weights": "only in PEFT before 0.3: when it merges",
    "monteclora_config": "noise in training; PEFT merges A and B alone",
    "peft_version": "information",
    "qalora_group_size": "only with use_qalora",
    "revision": "where the base is",
    "runtime_config": "where PEFT computes",
    "task_type": "the keys name the modules",
    "velora_config": "memory of the training's backward pass",
}
"""Fields that change nothing about a merge, and why."""
REFUSED_FIELDS = {
    "arrow_config": "Arrow, which routes each token to another adapter",
    "kasa_config": "KaSA, which cuts singular values out of the base",
    "layer_replication": "replicated layers",
    "megatron_config": "parallel layers of Megatron",
    "target_parameters": "parameters that are not modules, such as experts",
    "use_qalora": "QALoRA, which pools the inputs of a quantized base",
}
"""Fields that change the merged weights in a way that is not supported, and what they are."""

_TIED = ("embed_tokens", "lm_head")


class BlockDiagonal(Struct, frozen=True):
    """``use_bdlora``: parts of the names of modules whose A, or B, has ``nblocks`` blocks."""

    nblocks: int = 1
    target_modules_bd_a: list[str] | None = None
    target_modules_bd_b: list[str] | None = None


class AdapterConfig(Struct, frozen=True):
    """The fields of ``adapter_config.json`` that decide what a merge does."""

    r: int = 8
    lora_alpha: float = 8
    peft_type: str = "LORA"
    bias: str = "none"
    use_rslora: bool = False
    use_dora: bool = False
    use_bdlora: BlockDiagonal | None = None
    lora_bias: bool = False
    ensure_weight_tying: bool = False
    rank_pattern: dict[str, int] = {}
    alpha_pattern: dict[str, float] = {}
    init_lora_weights: Any = True
    alora_invocation_tokens: Any = None
    modules_to_save: list[str] = []
    target_modules: str | list[str] | None = None
    exclude_modules: str | list[str] | None = None
    layers_to_transform: int | list[int] | None = None
    layers_pattern: str | list[str] | None = None
    trainable_token_indices: list[int] | dict[str, list[int]] | None = None
    base_model_name_or_path: str | None = None

    def token_ids(self, peft_name: str) -> tuple[int, ...]:
        """The tokens whose rows in the module that PEFT calls ``peft_name`` are trained."""
        match self.trainable_token_indices:
            case None:
                return ()
            case list(ids):
                return tuple(ids)
            case by_module:
                for key, ids in by_module.items():
                    if peft_name.endswith(key) or key.endswith(f".{peft_name}"):
                        return tuple(ids)
                # PEFT ties head and embedding, whichever of them the config names.
                return tuple(next(iter(by_module.values()), ()))

    def saves(self, peft_name: str) -> bool:
        """Whether ``modules_to_save`` names the end of this module's name, as PEFT matches it.

        With ``ensure_weight_tying`` PEFT saves embedding and head if one of them is named.
        """
        if any(peft_name.endswith(saved) for saved in self.modules_to_save):
            return True
        return (
            self.ensure_weight_tying
            and peft_name.endswith(_TIED)
            and any(
                saved.endswith(name) or name.endswith(saved)
                for saved in self.modules_to_save
                for name in _TIED
            )
        )

    def saves_part(self, module: str) -> bool:
        """Whether ``modules_to_save`` names this module of the base, or one that contains it."""
        return any(f".{saved}." in f".{module}." for saved in self.modules_to_save)


def read_adapter_config(folder: Path) -> AdapterConfig:
    """Read the config of an adapter.

    Raises:
        ConvertError: it is missing or invalid, of another format or method, or the adapter cannot
            be merged; the field is named.
    """
    path = folder / "adapter_config.json"
    try:
        fields = decode_json(path.read_bytes(), dict[str, Any])
        if "peft_type" not in fields:
            raise ConvertError(f"{path} has no peft_type: {describe_config(fields)}")
        if fields["peft_type"] != "LORA":
            raise ConvertError(f"{path}: {describe_peft_type(str(fields['peft_type']))}")
        known = {key: value for key, value in fields.items() if value is not None}
        config = msgspec.convert(known, AdapterConfig)
    except FileNotFoundError as error:
        raise ConvertError(f"{folder} has no adapter_config.json: not a PEFT adapter") from error
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    except JSON_ERRORS as error:
        raise ConvertError(f"{path}: {error}") from error
    if fields.get("lora_alpha", 0) is None:
        raise ConvertError(
            f"{path}: lora_alpha is null, so that the scale is not known: put the alpha of the "
            "training there"
        )
    check_numbers(path, config)
    _check_init(path, config.init_lora_weights)
    if config.alora_invocation_tokens:
        raise ConvertError(
            f"{path}: alora_invocation_tokens: an activated LoRA applies only after certain tokens "
            "and cannot be merged"
        )
    for name, feature in REFUSED_FIELDS.items():
        if fields.get(name):
            raise ConvertError(
                f"{path}: {name} ({feature}) cannot be merged here; if PEFT can merge it, give the "
                "model that its merge_and_unload() makes as BASE"
            )
    _check_unknown_fields(path, fields)
    return config


def _check_init(path: Path, init: object) -> None:
    """Refuse initializations after which the base is no longer the published one."""
    if not isinstance(init, str) or init.lower() in (*_INITS_OF_LORA, "true", "false"):
        return
    for prefix, method in _INITS_OF_BASE.items():
        if init.lower().startswith(prefix):
            raise ConvertError(f"{path}: init_lora_weights {init!r}: {_remedy(prefix, method)}")
    raise ConvertError(
        f"{path}: init_lora_weights {init!r} is unknown, and may have changed the base too: "
        "give the model that PEFT's merge_and_unload() makes as BASE"
    )


def _remedy(prefix: str, method: str) -> str:
    if prefix == "loftq":
        return (
            f"{method} quantized the base before the training: give the base that was saved with "
            "the adapter, and set init_lora_weights to true"
        )
    return (
        f"{method} changed the base before the training: save the adapter with "
        "path_initial_model_for_weight_conversion, which makes it a plain LoRA"
    )


def _check_unknown_fields(path: Path, fields: dict[str, Any]) -> None:
    """Refuse fields of a newer PEFT that switch something on.

    Numbers and texts only set up what a switch or a sub-config turns on.
    """
    known = {*AdapterConfig.__struct_fields__, *FIELDS_WITHOUT_EFFECT, *REFUSED_FIELDS}
    for name, value in fields.items():
        if name not in known and value and isinstance(value, bool | list | dict):
            raise ConvertError(
                f"{path}: the field {name} is unknown, and may change the merged weights: give the "
                "model that PEFT's merge_and_unload() makes as BASE"
            )
