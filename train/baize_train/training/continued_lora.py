"""The settings of a LoRA that is trained further, as PEFT stores them. Needs no PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_shared.json_errors import JSON_ERRORS
from baize_train.errors import TrainError

ADAPTER_CONFIG = "adapter_config.json"


class _LoraConfig(Struct, frozen=True):
    """What PEFT's ``LoraConfig`` and a preset have in common."""

    r: int
    lora_alpha: int | float
    lora_dropout: float
    target_modules: list[str] | str
    use_dora: bool = False
    use_rslora: bool = False


def read_lora_settings(adapter: Path) -> dict[str, Any]:
    """The fields of a preset that the LoRA in the folder ``adapter`` decides.

    Raises:
        TrainError: the folder has no LoRA.
    """
    file = adapter / ADAPTER_CONFIG
    try:
        config = msgspec.json.decode(file.read_bytes(), type=_LoraConfig)
    except OSError as error:
        raise TrainError(f"--adapter: {file}: {error.strerror}") from error
    except JSON_ERRORS as error:
        raise TrainError(f"--adapter: {file} is not that of a LoRA: {error}") from error
    modules = config.target_modules
    return {
        "rank": config.r,
        "alpha": config.lora_alpha,
        "dropout": config.lora_dropout,
        # PEFT stores a set, in any order.
        "modules": (modules,) if isinstance(modules, str) else tuple(sorted(modules)),
        "dora": config.use_dora,
        "rslora": config.use_rslora,
    }
