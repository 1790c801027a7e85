"""GGUF LoRAs of random numbers, for the shapes that a test wants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFWriter

from tests.engine.shallow_model import LAYERS

SMOLLM2_QUERIES = {f"blk.{layer}.attn_q.weight": (576, 576) for layer in range(30)}
"""Rows and columns of what a LoRA on the real model's queries changes."""
SHALLOW_QUERIES = dict(list(SMOLLM2_QUERIES.items())[:LAYERS])
"""The same of its first layers alone."""


def write_lora(
    file: Path,
    shapes: dict[str, tuple[int, int]],
    *,
    strength: float = 0.5,
    rank: int = 4,
    seed: int = 0,
    kind: str = "adapter",
    architecture: str = "llama",
) -> Path:
    """Write A and B of each tensor in ``shapes``; ``strength`` is about the size of a product."""
    numbers = np.random.default_rng(seed)
    writer = GGUFWriter(file, architecture)
    writer.add_type(kind)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.0)
    for name, (rows, columns) in shapes.items():
        a = numbers.standard_normal((rank, columns), np.float32)
        b = numbers.standard_normal((rows, rank), np.float32) * strength / columns
        writer.add_tensor(f"{name}.lora_a", a)
        writer.add_tensor(f"{name}.lora_b", b.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
