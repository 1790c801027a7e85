"""The keys of PEFT's weights: which module each tensor changes, and how.

Names: ``LoraLayer`` of peft/tuners/lora/layer.py, and ``ModulesToSaveWrapper`` and
``TrainableTokensWrapper`` of peft/utils/other.py.
"""

from __future__ import annotations

import re
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.lora.adapter import ModuleChange, TensorPart
from baize_convert.lora.peft_config import AdapterConfig
from baize_convert.sources.tensors import Tensor

_WRAPPERS = ("base_model.", "_orig_mod.", "_fsdp_wrapped_module.", "module.")
_KEY = re.compile(
    r"(?P<module>.+?)\.(?P<kind>lora_A|lora_B|lora_embedding_A|lora_embedding_B|"
    r"lora_magnitude_vector|modules_to_save|base_layer|token_adapter)(?:\.(?P<rest>.+))?"
)


def module_name(key: str) -> str:
    """A key as a name of the base, without the wrappers of PEFT and PyTorch."""
    stripped = True
    while stripped:
        stripped = False
        for wrapper in _WRAPPERS:
            if key.startswith(wrapper):
                key, stripped = key.removeprefix(wrapper), True
    key = key.replace("language_model.", "")  # of a model with a vision part
    # base_model.model.model.layers: the inner one is the LlamaForCausalLM.
    while key.startswith("model.model.") or key.startswith("model.lm_head"):
        key = key.removeprefix("model.")
    return key


def assign_tensor(
    key: str,
    tensor: Tensor,
    changes: dict[str, ModuleChange],
    config: AdapterConfig,
    folder: Path,
) -> None:
    """Put the tensor with this key where it belongs in ``changes``, which are by module.

    Raises:
        ConvertError: no kind of adapter has such a key.
    """
    name = module_name(key)
    match = _KEY.fullmatch(name)
    if match is None:
        # A trained bias, or a module saved as a whole, whose key no longer says modules_to_save.
        module, _, part = name.rpartition(".")
        change = changes.setdefault(module, ModuleChange())
        change.replaced[_tensor_part(part, key, folder)] = tensor
        change.resizes_base = not any(module.endswith(saved) for saved in config.modules_to_save)
        return
    kind, rest = match["kind"], (match["rest"] or "weight").split(".")
    change = changes.setdefault(match["module"], ModuleChange())
    if kind in ("modules_to_save", "base_layer"):
        change.replaced[_tensor_part(rest[-1], key, folder)] = tensor
        change.resizes_base = kind == "base_layer"
    elif kind == "token_adapter" and rest[0] == "trainable_tokens_delta":
        change.token_rows = tensor
    elif kind == "lora_B" and rest[-1] == "bias":
        change.bias = tensor
    elif kind == "lora_magnitude_vector":
        change.magnitude = tensor
    elif kind == "token_adapter" or rest[-1] == "bias":
        raise _unknown_key(key, folder)
    elif kind.endswith("A"):
        change.a = tensor
        change.is_embedding = kind == "lora_embedding_A"
    else:
        change.b = tensor


def _tensor_part(part: str, key: str, folder: Path) -> TensorPart:
    match part:
        case "weight" | "bias":
            return part
    raise _unknown_key(key, folder)


def _unknown_key(key: str, folder: Path) -> ConvertError:
    return ConvertError(f"{folder}: the key {key} is of an unknown kind")
