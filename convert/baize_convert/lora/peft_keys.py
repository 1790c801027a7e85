"""The keys of PEFT's weights: which module each tensor changes, and how.

Names: ``LoraLayer`` of peft/tuners/lora/layer.py, and ``ModulesToSaveWrapper`` and
``TrainableTokensWrapper`` of peft/utils/other.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from baize_convert.sources.tensor_names import is_skipped
from baize_convert.sources.wrapped_names import without_wrappers

_CONTAINERS = frozenset({"base_model", "model", "language_model", "text_model"})
"""Modules around the layers of a language model; the names differ by the class that PEFT got."""
_OF_THE_MODEL = ("layers", "embed_tokens", "norm")

Kind = Literal[
    "lora_A",
    "lora_B",
    "lora_embedding_A",
    "lora_embedding_B",
    "lora_magnitude_vector",
    "lora_bias",
    "token_rows",
    "saved",
    "original",
    "base",
    "plain",
    "ignored",
]
"""What a tensor is. A saved tensor is trained, the original of one is not. One of the base is not
either, unless it is a bias; a plain one, which has the base's own name, may be trained or not."""
_KIND = re.compile(
    r"(?P<module>.+?)\.(?P<kind>lora_A|lora_B|lora_embedding_A|lora_embedding_B|"
    r"lora_magnitude_vector|lora_monteclora_sampler|lora_velora_\w+|modules_to_save|"
    r"original_module|base_layer|token_adapter)(?:\.(?P<rest>.+))?"
)
_TENSORS = ("weight", "bias")


@dataclass(frozen=True)
class PeftKey:
    """One key of an adapter's weights."""

    module: str
    """The module's name in the base."""
    peft_name: str
    """The module's name for PEFT, to which the patterns of the config apply."""
    kind: Kind
    part: str = "weight"
    """The tensor of the module: weight or bias."""
    adapter: str | None = None
    """The adapter's name, if the key has it."""

    @property
    def is_low_rank(self) -> bool:
        """Whether the tensor is A, B or what belongs to them."""
        return self.kind.startswith("lora_")


def parse_key(key: str) -> PeftKey | None:
    """What ``key`` says; None if no LoRA of PEFT has such a key."""
    name = without_wrappers(key)
    match = _KIND.fullmatch(name)
    if match is None:
        module, _, part = name.rpartition(".")
        if is_skipped(name):
            return _key(module, "ignored")
        return _key(module, "plain", part) if module and part in _TENSORS else None
    module, rest = match["module"], (match["rest"] or "").split(".") if match["rest"] else []
    if match["kind"].startswith(("lora_monteclora", "lora_velora")):  # of the training alone
        return _key(module, "ignored")
    match match["kind"]:
        case "lora_A" | "lora_B" as kind if rest[-1:] == ["weight"] and len(rest) <= 2:
            return _key(module, kind, adapter=_first(rest[:-1]))
        case "lora_B" if rest[-1:] == ["bias"] and len(rest) <= 2:
            return _key(module, "lora_bias", adapter=_first(rest[:-1]))
        case "lora_embedding_A" | "lora_embedding_B" as kind if len(rest) <= 1:
            return _key(module, kind, adapter=_first(rest))
        case "lora_magnitude_vector" as kind if len(rest) <= 2:
            # DoRA's magnitude was a parameter, and is now the weight of a module.
            names = rest[:-1] if rest[-1:] == ["weight"] else rest
            return _key(module, kind, adapter=_first(names)) if len(names) <= 1 else None
        case "token_adapter":
            return _token_key(module, rest)
        case "modules_to_save" | "original_module" | "base_layer" as kind if rest:
            return _module_key(module, kind, rest)
    return None


def _token_key(module: str, rest: list[str]) -> PeftKey | None:
    match rest:
        case ["base_layer", part] if part in _TENSORS:
            return _key(module, "base", part)
        case ["trainable_tokens_delta"]:
            return _key(module, "token_rows")
        case ["trainable_tokens_delta", adapter]:
            return _key(module, "token_rows", adapter=adapter)
        case ["trainable_tokens_original", *_]:
            return _key(module, "ignored")
    return None


def _module_key(module: str, kind: str, rest: list[str]) -> PeftKey | None:
    """A key of a whole module, or of a module inside it."""
    *inner, part = rest
    if part not in _TENSORS:
        return None
    adapter = None
    if kind == "modules_to_save" and inner:  # PEFT removes the name where nothing follows it
        adapter, inner = inner[0], inner[1:]
    if kind == "base_layer" and inner:
        return None
    return _key(".".join([module, *inner]), _SOURCES[kind], part, adapter)


_SOURCES: dict[str, Kind] = {
    "modules_to_save": "saved",
    "original_module": "original",
    "base_layer": "base",
}


def _first(names: list[str]) -> str | None:
    return names[0] if names else None


def _key(module: str, kind: Kind, part: str = "weight", adapter: str | None = None) -> PeftKey:
    return PeftKey(module_name(module), _peft_name(module), kind, part, adapter)


def module_name(name: str) -> str:
    """A name that PEFT gives a module, or a tensor of it, as the one in the base.

    ``base_model.model`` is PEFT's own; the language model of a model for images too is
    ``language_model.model`` or, since transformers 5, ``model.language_model``.
    """
    parts = without_wrappers(name).split(".")
    first = next((at for at, part in enumerate(parts) if part not in _CONTAINERS), len(parts))
    inner = parts[first:]
    if inner and inner[0] in _OF_THE_MODEL:
        return ".".join(["model", *inner])
    if inner and inner[0] == "lm_head":
        return ".".join(inner)
    return _peft_name(".".join(parts))


def _peft_name(module: str) -> str:
    return module.removeprefix("base_model.model.")
