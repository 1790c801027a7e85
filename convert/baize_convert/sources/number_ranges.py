"""Ranges of the numbers in configs: what llama.cpp stores in 32 bits must fit, and make sense."""

from __future__ import annotations

from pathlib import Path

import msgspec

from baize_convert.failures import ConvertError
from baize_shared.number_limits import LARGEST_FLOAT, LARGEST_INT, SMALLEST_FLOAT

MOST_TOKENS = 1 << 19
"""Twice the largest vocabulary known, Gemma's; more would take all memory."""

_RANGES: dict[str, tuple[float, float]] = {
    "hidden_size": (1, 1 << 20),
    "num_attention_heads": (1, 1 << 16),
    "num_key_value_heads": (1, 1 << 16),
    "intermediate_size": (1, 1 << 24),
    "vocab_size": (1, MOST_TOKENS),
    "head_dim": (1, 1 << 16),
    "num_hidden_layers": (1, LARGEST_INT),
    "max_position_embeddings": (1, LARGEST_INT),
    "original_max_position_embeddings": (1, LARGEST_INT),
    "rms_norm_eps": (0, 1),
    "rope_theta": (SMALLEST_FLOAT, LARGEST_FLOAT),
    "rope_local_base_freq": (SMALLEST_FLOAT, LARGEST_FLOAT),
    "r": (1, 1 << 20),
    "rank_pattern": (1, 1 << 20),
    "factor": (1e-6, 1e9),
    "low_freq_factor": (1e-6, 1e9),
    "high_freq_factor": (1e-6, 1e9),
}
"""Smallest and largest value by the name of a field."""
_ANY_INT = (-(2**31), LARGEST_INT)
_ANY_FLOAT = (-LARGEST_FLOAT, LARGEST_FLOAT)


def check_numbers(path: Path, config: msgspec.Struct, prefix: str = "") -> None:
    """Check every number in ``config``, which was read from ``path``, and in structs inside it.

    Raises:
        ConvertError: a number is NaN, infinite or outside its range; the key is named.
    """
    for name in config.__struct_fields__:
        _check_value(path, f"{prefix}{name}", name, getattr(config, name))


def _check_value(path: Path, key: str, name: str, value: object) -> None:
    match value:
        case bool():
            return
        case int() | float():
            any_number = _ANY_INT if isinstance(value, int) else _ANY_FLOAT
            smallest, largest = _RANGES.get(name, any_number)
            if not smallest <= value <= largest:  # NaN is in no range
                raise ConvertError(
                    f"{path}: {key} is {_shown(value)}, but may be {smallest:g} to {largest:g}"
                )
            if isinstance(value, float) and 0 < abs(value) < SMALLEST_FLOAT:
                raise ConvertError(f"{path}: {key} is {value:g}, which float32 cannot store")
        case list():
            for item in value:
                _check_value(path, key, name, item)
        case dict():
            for inner, item in value.items():
                _check_value(path, f"{key}.{str(inner)[:100]}", name, item)
        case msgspec.Struct():
            check_numbers(path, value, f"{key}.")


def _shown(value: float) -> str:
    """A number for a message; a whole one may have a thousand digits."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    return str(value)
