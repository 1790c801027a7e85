"""The factors of each rotation that LLaMA 3's RoPE is scaled by."""

from __future__ import annotations

import math

import numpy as np

from baize_convert.ggml import Float32
from baize_convert.model_config import ModelConfig


def rope_factors(config: ModelConfig) -> Float32 | None:
    """LLaMA 3's factors of each rotation, [head_size / 2]; None for another kind of RoPE.

    As ``LlamaModel.generate_extra_tensors`` of llama.cpp's conversion/llama.py.
    """
    rope = config.rope
    if str(rope.get("rope_type", "")).lower() != "llama3":
        return None
    base, size = float(rope["rope_theta"]), config.head_size
    exponents = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
    frequencies = np.float32(1.0) / np.power(np.float32(base), exponents, dtype=np.float32)
    factor = float(rope.get("factor", 8.0))
    low, high = float(rope.get("low_freq_factor", 1.0)), float(rope.get("high_freq_factor", 4.0))
    length = float(rope.get("original_max_position_embeddings", 8192))
    factors = []
    for frequency in frequencies:
        wavelength = 2 * math.pi / float(frequency)
        if wavelength < length / high:
            factors.append(1.0)
        elif wavelength > length / low:
            factors.append(factor)
        else:
            smooth = (length / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, dtype=np.float32)
