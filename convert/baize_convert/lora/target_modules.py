"""Which modules get A and B, as the config of an adapter says it.

The keys of the weights should say the same. Where they do not, PEFT follows the config: it ignores
the weights of other modules, and leaves a module without weights as it is.

Source: ``check_target_module_exists`` of peft/tuners/tuners_utils.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from baize_convert.failures import ConvertError
from baize_convert.lora.patterns import compile_pattern
from baize_convert.lora.peft_config import AdapterConfig

_ALL_LINEAR = "all-linear"
_TOKEN_MODULES = ("embed_tokens", "lm_head")
"""The ends of names of modules that ``all-linear`` leaves out, and that PEFT may tie."""


def names_module(config: AdapterConfig, name: str) -> bool:
    """Whether ``config`` names the module that PEFT calls ``name``.

    True too if it cannot be said: because of a regex that could take too long, for example.
    """
    if config.ensure_weight_tying and name.endswith(_TOKEN_MODULES):
        return True  # PEFT ties one to the other, whichever of them is named
    try:
        return not _is_excluded(config, name) and _is_target(config, name)
    except ConvertError:
        return True


def lists_module(config: AdapterConfig, name: str) -> bool:
    """Whether ``target_modules`` names the module by its name or as one of all, not by a regex."""
    by_name = not isinstance(config.target_modules, str) or _targets_all(config)
    tied = config.ensure_weight_tying and name.endswith(_TOKEN_MODULES)
    return bool(config.target_modules) and by_name and not tied and names_module(config, name)


def _is_excluded(config: AdapterConfig, name: str) -> bool:
    match config.exclude_modules:
        case str(pattern) if pattern:
            if compile_pattern(pattern).fullmatch(name):
                return True
        case list(ends) if _ends_with(name, ends):
            return True
    return config.saves_part(name)  # what is saved as a whole has no A and B


def _is_target(config: AdapterConfig, name: str) -> bool:
    targets = config.target_modules
    if not targets:  # PEFT has defaults by architecture
        return True
    if _targets_all(config):
        return not name.endswith(_TOKEN_MODULES)
    if isinstance(targets, str):
        return compile_pattern(targets).fullmatch(name) is not None
    if name in targets:
        return True
    return _ends_with(name, targets) and _is_in_layers(config, name)


def _targets_all(config: AdapterConfig) -> bool:
    targets = config.target_modules
    return isinstance(targets, str) and targets.lower() == _ALL_LINEAR


def _ends_with(name: str, ends: Collection[str]) -> bool:
    return any(f".{name}".endswith(f".{end}") for end in ends)


def _is_in_layers(config: AdapterConfig, name: str) -> bool:
    layers = config.layers_to_transform
    if layers is None or layers == []:
        return True
    patterns = config.layers_pattern or [r"[^.]*"]
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        compile_pattern(pattern)
        if (match := re.match(rf"(?:.*?\.)?{pattern}\.(\d+)\.", name)) is not None:
            layer = int(match[match.lastindex or 1])
            return layer == layers if isinstance(layers, int) else layer in layers
    return False
