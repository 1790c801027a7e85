"""The frequency factors of LLaMA 3's scaled RoPE."""

from __future__ import annotations

import math

import numpy as np

from baize_convert.failures import ConvertError
from baize_convert.quantization.ggml import Float32
from baize_convert.sources.model_config import ModelConfig


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
    factor, length = rope.factor or 8.0, rope.original_max_position_embeddings or 8192
    low, high = rope.low_freq_factor or 1.0, rope.high_freq_factor or 4.0
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
