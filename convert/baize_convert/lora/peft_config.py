"""``adapter_config.json`` of an adapter that PEFT saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_convert.failures import ConvertError
from baize_convert.sources.number_ranges import check_numbers

_REFUSED_INITS = ("pissa", "olora", "corda", "loftq", "eva", "lora_ga", "mica", "orthogonal")
"""Prefixes of ``init_lora_weights`` that change the base too."""
_REFUSED_FIELDS = {
    "target_parameters": "parameters of experts",
    "layer_replication": "replicated layers",
    "use_qalora": "QALoRA",
    "megatron_config": "Megatron's parallel layers",
    "arrow_config": "Arrow routing",
    "corda_config": "CorDA",
    "kasa_config": "KaSA",
}


class AdapterConfig(Struct, frozen=True):
    """The fields of ``adapter_config.json`` that decide what a merge does.

    ``fan_in_fan_out`` does not: PEFT uses it for Conv1D only, and a LLaMA has none. Ranks come from
    the tensors.
    """

    r: int = 8
    lora_alpha: float = 8
    peft_type: str = "LORA"
    use_rslora: bool = False
    ensure_weight_tying: bool = False
    alpha_pattern: dict[str, float] = {}
    init_lora_weights: Any = True
    alora_invocation_tokens: Any = None
    modules_to_save: list[str] = []
    trainable_token_indices: list[int] | dict[str, list[int]] | None = None
    base_model_name_or_path: str | None = None

    def token_ids(self, module: str) -> tuple[int, ...]:
        """The tokens whose rows in ``module`` are trained."""
        match self.trainable_token_indices:
            case None:
                return ()
            case list(ids):
                return tuple(ids)
            case by_module:
                # PEFT ties head and embedding, whichever of them the config names.
                return tuple(
                    next((ids for key, ids in by_module.items() if module.endswith(key)), ())
                )


def read_adapter_config(folder: Path) -> AdapterConfig:
    """Read the config of an adapter.

    Raises:
        ConvertError: it is missing or invalid, or the adapter cannot be merged; the field is named.
    """
    path = folder / "adapter_config.json"
    try:
        raw = path.read_bytes()
        fields = msgspec.json.decode(raw, type=dict[str, Any])
        known = {key: value for key, value in fields.items() if value is not None}
        config = msgspec.convert(known, AdapterConfig)
    except FileNotFoundError as error:
        raise ConvertError(f"{folder} has no adapter_config.json: not a PEFT adapter") from error
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConvertError(f"{path}: {error}") from error
    check_numbers(path, config)
    if config.peft_type != "LORA":
        raise ConvertError(f"{path}: peft_type {config.peft_type} is not LoRA")
    init = config.init_lora_weights
    if isinstance(init, str) and init.lower().startswith(_REFUSED_INITS):
        raise ConvertError(
            f"{path}: init_lora_weights {init!r} changed the base too: save the adapter with "
            "path_initial_model_for_weight_conversion, which makes it a plain LoRA"
        )
    if config.alora_invocation_tokens:
        raise ConvertError(
            f"{path}: alora_invocation_tokens: an activated LoRA applies only after certain tokens "
            "and cannot be merged"
        )
    for name, feature in _REFUSED_FIELDS.items():
        if fields.get(name):
            raise ConvertError(f"{path}: {name} ({feature}) cannot be merged yet")
    return config
