"""How much memory a run will take, from the shapes of the base. Needs no PyTorch.

Counted is what a step holds at its peak: the frozen weights, the adapter with its gradients and
AdamW's two moments in float32, what the forward pass of one micro-batch keeps for the backward
pass, and what the loss holds. On a processor this is within 3 % of the peak of SmolLM2-135M with
1,024 to 4,096 tokens at once, and with ``--checkpointing``. It was not measured on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from baize_convert.failures import ConvertError
from baize_convert.opening import open_base
from baize_convert.sources.checkpoint import expected_shapes
from baize_convert.sources.model_config import ModelConfig, read_config
from baize_train.errors import TrainError
from baize_train.training.base_model import Quantization
from baize_train.training.checkpoints import WEIGHTS
from baize_train.training.presets import Preset
from baize_train.training.run import TokenizedData, TrainingRun

_FLOAT32, _BFLOAT16 = 4, 2
_QUANTIZED_BYTES: Mapping[Quantization, float] = {"int8": 1.0, "4bit": 0.52}
"""Bytes of a weight; NF4 with double quantization keeps 4.127 bits, and rounds up."""
_TILE_TOKENS, _TILE_COLUMNS = 4096, 32768
"""Logits that TRL's loss computes at once (``ChunkedLogProbFunction``)."""
_TILES_CPU, _TILES_GPU = 14, 1
"""How many such tiles it holds: in PyTorch's operations, measured; and in its Triton kernel."""
_PROGRAM = 700 << 20
"""Python, PyTorch and the other libraries on a processor; a GPU holds none of it."""


class MemoryEstimate(Struct, frozen=True):
    """Bytes of each part."""

    weights: int
    adapter: int
    """With gradients and the optimizer's state."""
    activations: int
    program: int

    @property
    def total(self) -> int:
        return self.weights + self.adapter + self.activations + self.program


class MemoryEstimates(Struct, frozen=True):
    """The same run on a processor and on a GPU."""

    cpu: MemoryEstimate | None
    """None if the base is to be quantized, which needs a GPU."""
    gpu: MemoryEstimate


def estimate_memory(run: TrainingRun, data: TokenizedData) -> MemoryEstimates | None:
    """The memory of ``run``; None for an architecture whose shapes are not known.

    Raises:
        TrainError: there is no adapter to continue.
    """
    try:
        config = _read_config(run.base)
    except ConvertError:
        return None
    longest = max(dialogue.length for dialogue in data.train.dialogues)
    length = run.preset.max_length if run.preset.packing else longest
    tokens = run.preset.split_batch(1)[0] * length

    kept = _kept_numbers(config, checkpointing=run.checkpointing) * tokens
    tile = min(tokens, _TILE_TOKENS) * min(config.vocab_size, _TILE_COLUMNS)
    weights = _parameters(config)
    trained = _new_parameters(config, run.preset)
    if run.adapter is not None:
        trained = _count_stored(run.adapter / WEIGHTS)
    adapter = trained * 4 * _FLOAT32
    quantized = _QUANTIZED_BYTES.get(run.quantization)
    cpu = MemoryEstimate(
        weights=weights * _FLOAT32,
        adapter=adapter,
        activations=(kept + tile * _TILES_CPU) * _FLOAT32,
        program=_PROGRAM,
    )
    gpu = MemoryEstimate(
        weights=round(weights * (quantized or _BFLOAT16)),
        adapter=adapter,
        activations=(kept + tile * _TILES_GPU) * _BFLOAT16,
        program=0,
    )
    return MemoryEstimates(None if quantized else cpu, gpu)


def _read_config(base: Path) -> ModelConfig:
    if base.is_dir():
        return read_config(base)
    checkpoint = open_base(base)
    for file in checkpoint.files:
        file.close()
    return checkpoint.config


def _parameters(config: ModelConfig) -> int:
    """Of all weights; biases, which a model may do without, are a ten-thousandth of them."""
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    return sum(
        math.prod(shape)
        for name, shape in expected_shapes(config).items()
        if name.endswith(".weight") and name not in tied
    )


def _count_stored(weights: Path) -> int:
    """Parameters of an adapter, which PEFT stores in float32."""
    try:
        return weights.stat().st_size // _FLOAT32
    except OSError as error:
        raise TrainError(f"{weights}: {error.strerror}") from error


def _new_parameters(config: ModelConfig, preset: Preset) -> int:
    """A has rank times the columns of a weight, B its rows times rank; DoRA a magnitude a row."""
    count = 0
    for name, shape in expected_shapes(config).items():
        if name.endswith(tuple(f".{module}.weight" for module in preset.modules)):
            rows, columns = shape
            count += preset.rank * (rows + columns) + (rows if preset.dora else 0)
    return count


def _kept_numbers(config: ModelConfig, *, checkpointing: bool) -> int:
    """Numbers that the forward pass of one token keeps for the backward pass."""
    hidden, layers = config.hidden_size, config.num_hidden_layers
    kv_size = config.kv_heads * config.head_size
    # Inputs and outputs of both norms and the inputs of the adapters; queries, keys and values
    # before and after RoPE, and what attention returns; gate, its activation, up and their product.
    layer = 6 * hidden + 3 * config.query_size + 4 * kv_size + 4 * config.intermediate_size
    # Recomputed activations are kept for one layer at a time, besides the inputs of all.
    return hidden * layers + layer if checkpointing else layer * layers
