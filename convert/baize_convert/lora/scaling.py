"""The scale of each low-rank change: alpha and rank, which a config gives by patterns too.

Source: ``LoraModel._create_and_replace`` of peft/tuners/lora/model.py and ``get_pattern_key`` of
peft/utils/other.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

from baize_convert.failures import ConvertError
from baize_convert.lora.patterns import compile_pattern
from baize_convert.lora.peft_config import AdapterConfig

Number = TypeVar("Number", int, float)


def module_scale(name: str, rank: int, config: AdapterConfig, *, may_share: bool = False) -> float:
    """alpha / r, or alpha / sqrt(r) with rsLoRA, of the module that PEFT calls ``name``.

    The first pattern that matches counts. PEFT sorts patterns when it saves them, so a general one
    can come before a special one that counted in the training; the rank of the tensors shows that.
    A module that ``may_share`` the A and B of another one has its own scale with their rank.

    Raises:
        ConvertError: the config gives another rank, or does not say which alpha counted; or a
            pattern is not one that can be tried.
    """
    ranks = _matching(config.rank_pattern, name)
    alphas = _matching(config.alpha_pattern, name)
    alpha = next(iter(alphas.values()), config.lora_alpha)
    configured = next(iter(ranks.values()), config.r)
    if configured != rank and may_share:
        rank = configured
    elif configured != rank:
        alpha = _alpha_of_rank(name, rank, ranks, alphas, config)
    return alpha / math.sqrt(rank) if config.use_rslora else alpha / rank


def has_several_alphas(name: str, config: AdapterConfig) -> bool:
    """Whether patterns that match ``name`` contradict each other, so that their order counts."""
    return len(set(_matching(config.alpha_pattern, name).values())) > 1


def _alpha_of_rank(
    name: str,
    rank: int,
    ranks: Mapping[str, int],
    alphas: Mapping[str, float],
    config: AdapterConfig,
) -> float:
    """The alpha of a module whose rank is not that of the first pattern that matches."""
    if rank not in ranks.values():
        wanted = next(iter(ranks.values()), config.r)
        raise ConvertError(
            f"{name} has rank {rank}, but adapter_config.json says {wanted}, so its scale is not "
            "known: give the config of this training"
        )
    counted = {alphas[key] for key, value in ranks.items() if value == rank and key in alphas}
    candidates = counted or set(alphas.values()) or {config.lora_alpha}
    if len(candidates) > 1:
        raise ConvertError(
            f"{name}: several keys of alpha_pattern match, and PEFT sorted them when it saved: "
            f"leave the one that counted in adapter_config.json ({', '.join(alphas)})"
        )
    return candidates.pop()


def _matching(patterns: Mapping[str, Number], name: str) -> dict[str, Number]:
    """The entries that match the name or its end, in the order of the config."""
    return {
        key: value
        for key, value in patterns.items()
        if compile_pattern(key, r"(.*\.)?({})$").match(name)
    }
