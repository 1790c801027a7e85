"""A model of 1.2 billion parameters that writes what SmolLM2 135M writes, for benchmarks.

Guessing tokens pays only where the answer can be foreseen, and random weights write nothing that
can. So SmolLM2 is widened with zeros to the size of TinyLlama: it computes as much as any model of
that size, and its answers are those of the small one, apart from rounding.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tests.convert.smollm2_folder import make_folder

HIDDEN, FEED_FORWARD, HEADS, KV_HEADS, HEAD_SIZE = 2048, 4096, 30, 10, 64
"""Three query heads to a key head, as the small model has them."""
_ROWS = {
    "embed_tokens": 0,
    "q_proj": HEADS * HEAD_SIZE,
    "k_proj": KV_HEADS * HEAD_SIZE,
    "v_proj": KV_HEADS * HEAD_SIZE,
    "o_proj": HIDDEN,
    "gate_proj": FEED_FORWARD,
    "up_proj": FEED_FORWARD,
    "down_proj": HIDDEN,
}
"""Rows of each weight; 0 keeps them."""
_COLUMNS = {"o_proj": HEADS * HEAD_SIZE, "down_proj": FEED_FORWARD}
"""Columns where they are not the hidden size."""


def widened_model(small: Path) -> Path:
    """The GGUF, in Q4_K_M; made once from the GGUF ``small``, and kept in the temporary folder."""
    folder = Path(tempfile.gettempdir()) / "baize-bench"
    file = folder / "widened-1.2b-q4_k_m.gguf"
    if file.exists():
        return file
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        base, output = Path(temporary, "base"), Path(temporary, "model.gguf")
        _widen(make_folder(small, base))
        merge = [sys.executable, "-m", "baize_convert", "merge", str(base)]
        command = [*merge, "--outtype", "Q4_K_M", "--output", str(output)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        output.rename(file)
    return file


def _widen(folder: Path) -> None:
    config_file = folder / "config.json"
    config: dict[str, Any] = json.loads(config_file.read_text("utf-8"))
    share = config["hidden_size"] / HIDDEN
    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        wide = {name: _wide(name, weights, share) for name, weights in tensors.items()}
        save_file(wide, file, {"format": "pt"})
    config |= {
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_SIZE,
        "rms_norm_eps": config["rms_norm_eps"] * share,
    }
    config_file.write_text(json.dumps(config), encoding="utf-8")


def _wide(name: str, weights: NDArray[Any], share: float) -> NDArray[Any]:
    """``weights`` with zeros around them; a norm sees ``share`` of the mean square it had."""
    if weights.ndim == 1:
        wide = np.zeros(HIDDEN, weights.dtype)
        wide[: len(weights)] = weights * math.sqrt(share)
        return wide
    kind = name.split(".")[-2]
    shape = (_ROWS[kind] or weights.shape[0], _COLUMNS.get(kind, HIDDEN))
    wide = np.zeros(shape, weights.dtype)
    wide[: weights.shape[0], : weights.shape[1]] = weights
    return wide
