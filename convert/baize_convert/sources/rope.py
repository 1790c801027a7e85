"""What a scaled RoPE multiplies: the factors of each frequency, and that of the attention."""

from __future__ import annotations

import math

import numpy as np

from baize_convert.failures import ConvertError
from baize_convert.quantization.ggml import Float32
from baize_convert.sources.model_config import ModelConfig, Rope


def rope_tensors(config: ModelConfig) -> dict[str, Float32]:
    """The tensors that a scaled RoPE needs, by GGUF name; each is [rotated rows of a head / 2].

    Raises:
        ConvertError: the frequencies in the config contradict each other.
    """
    rope = config.rope
    if rope.rope_type == "longrope":
        return {
            "rope_factors_long.weight": np.array(rope.long_factor, np.float32),
            "rope_factors_short.weight": np.array(rope.short_factor, np.float32),
        }
    factors = rope_factors(config)
    return {} if factors is None else {"rope_freqs.weight": factors}


def longrope_attention_factor(config: ModelConfig) -> float:
    """What the rotated queries and keys are multiplied by.

    As ``_compute_longrope_parameters`` of transformers' modeling_rope_utils.py.
    """
    rope = config.rope
    if rope.attention_factor is not None:
        return rope.attention_factor
    length = rope.original_max_position_embeddings or config.max_position_embeddings
    scale = rope.factor or config.max_position_embeddings / length
    return math.sqrt(1 + math.log(scale) / math.log(length)) if scale > 1 else 1.0


def yarn_attention_factor(rope: Rope) -> float:
    """``rope.scaling.attn_factor``: what transformers multiplies by, over what llama.cpp does.

    llama.cpp multiplies rotated queries and keys by ``0.1 * log(factor) + 1``, as transformers does
    unless the config says otherwise (``_compute_yarn_parameters`` of modeling_rope_utils.py).
    """

    def scale(weight: float) -> float:
        factor = rope.factor or 1.0
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    if rope.attention_factor is not None:
        return rope.attention_factor / scale(1.0)
    if rope.mscale and rope.mscale_all_dim:
        return scale(rope.mscale) / scale(rope.mscale_all_dim) / scale(1.0)
    return 1.0


def rope_factors(config: ModelConfig) -> Float32 | None:
    """The factor of each frequency, [head_size / 2]; None for another kind of RoPE.

    Computed as in ``LlamaModel.generate_extra_tensors`` of llama.cpp's conversion/llama.py.

    Raises:
        ConvertError: the frequencies in the config contradict each other.
    """
    rope = config.rope
    if rope.rope_type != "llama3":
        return None
    base, size = rope.rope_theta, config.head_size
    exponents = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
    # The steps of PyTorch, so that even the last bit is the same: float32, correctly rounded
    # powers, and division as multiplication by the reciprocal.
    one = np.float32(1)
    powers = np.power(np.float64(base), exponents.astype(np.float64)).astype(np.float32)
    frequencies = one / powers
    # ``check_rules`` has made sure that the three are there.
    assert rope.factor is not None
    assert rope.low_freq_factor is not None
    assert rope.high_freq_factor is not None
    factor, low, high = rope.factor, rope.low_freq_factor, rope.high_freq_factor
    # As in transformers; llama.cpp's converter takes 8,192 if the config does not say it.
    length = rope.original_max_position_embeddings or config.max_position_embeddings
    if low >= high:
        raise ConvertError(f"config.json: RoPE's low_freq_factor {low} is not below {high}")
    wavelengths = (one / frequencies) * np.float32(2 * math.pi)
    smooth = (one / wavelengths) * np.float32(length) - np.float32(low)
    smooth /= np.float32(high - low)
    between = one / ((one - smooth) / np.float32(factor) + smooth)
    longest, shortest = np.float32(length / low), np.float32(length / high)
    factors: Float32 = np.where(
        wavelengths < shortest, one, np.where(wavelengths > longest, np.float32(factor), between)
    )
    return factors
