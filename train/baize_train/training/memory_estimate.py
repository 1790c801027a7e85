"""How much memory a run will take, from the shapes of the base. Needs no PyTorch.

Counted is what a step holds at its peak: the weights, the adapter with its gradients and AdamW's
two moments in float32, or those of all weights, what the forward pass of one micro-batch keeps for
the backward pass, and what the loss holds. For a LoRA on a processor this is within 3 % of the peak
of SmolLM2-135M with 1,024 to 4,096 tokens at once, and with ``--checkpointing``; for pairs and
marks within 4 %. It was not measured on a GPU. For full fine-tuning it is an upper bound, because
gradients take the place of activations: the first step of SmolLM2-135M took 2.8 GB of 3.3 GB.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from baize_convert.failures import ConvertError
from baize_convert.opening import open_base
from baize_convert.sources.byte_source import MappedFile
from baize_convert.sources.checkpoint import expected_shapes
from baize_convert.sources.model_config import ModelConfig, read_config
from baize_convert.sources.safetensors_file import parse_safetensors
from baize_train.errors import TrainError
from baize_train.tokens.vocabulary import vocabulary_size
from baize_train.training.base_model import Quantization
from baize_train.training.checkpoints import WEIGHTS
from baize_train.training.lora_modules import require_modules
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
    optimizer: int
    """Gradients and the optimizer's state of all weights, in full fine-tuning."""
    activations: int
    program: int

    @property
    def total(self) -> int:
        return self.weights + self.adapter + self.optimizer + self.activations + self.program


class MemoryEstimates(Struct, frozen=True):
    """The same run on a processor and on a GPU."""

    cpu: MemoryEstimate | None
    """None if the base is to be quantized, which needs a GPU."""
    gpu: MemoryEstimate


def longest_row(run: TrainingRun, data: TokenizedData) -> int:
    """Tokens of the longest row that a step takes."""
    longest = max(dialogue.length for dialogue in data.train.dialogues)
    return run.preset.max_length if run.preset.packing else longest


def estimate_memory(run: TrainingRun, longest: int, answers: int = 1) -> MemoryEstimates | None:
    """The memory of ``run`` with rows of up to ``longest`` tokens, and so many ``answers`` to each
    prompt; None for an architecture whose shapes are not known.

    Raises:
        TrainError: there is no adapter to continue, or the base lacks modules of a new one.
    """
    try:
        config = _read_config(run)
    except ConvertError:
        return None
    tokens = run.preset.split_batch(1)[0] * longest * answers
    kept = _kept_numbers(config, checkpointing=run.checkpointing) * tokens
    tile = min(tokens, _TILE_TOKENS) * min(config.vocab_size, _TILE_COLUMNS)
    weights = _parameters(config)
    full = run.preset.full
    if full:
        trained = 0
    elif run.adapter is not None:
        trained = _count_trained(run.adapter / WEIGHTS)
    else:
        trained = _new_parameters(config, run)
    adapter = trained * 4 * _FLOAT32
    optimizer = weights * 3 * _FLOAT32 if full else 0
    kept += _token_copies(config) if run.new_tokens and not full else 0
    quantized = _QUANTIZED_BYTES.get(run.quantization)
    cpu = MemoryEstimate(
        weights=weights * _FLOAT32,
        adapter=adapter,
        optimizer=optimizer,
        activations=(kept + tile * _TILES_CPU) * _FLOAT32,
        program=_PROGRAM,
    )
    # Full fine-tuning has the weights in float32, and copies in bfloat16 to compute with.
    bytes_of_weight = _FLOAT32 + _BFLOAT16 if full else quantized or _BFLOAT16
    gpu = MemoryEstimate(
        weights=round(weights * bytes_of_weight),
        adapter=adapter,
        optimizer=optimizer,
        activations=(kept + tile * _TILES_GPU) * _BFLOAT16,
        program=0,
    )
    return MemoryEstimates(None if quantized else cpu, gpu)


def _read_config(run: TrainingRun) -> ModelConfig:
    base = run.base
    if base.is_dir():
        size = vocabulary_size(base, run.new_tokens)
        return msgspec.structs.replace(read_config(base), vocab_size=size)
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


def _count_trained(weights: Path) -> int:
    """Parameters of an adapter, without the embedding that is stored with new tokens."""
    if not weights.is_file():
        raise TrainError(f"{weights}: No such file")
    try:
        tensors = parse_safetensors(MappedFile(weights))
    except ConvertError as error:
        raise TrainError(str(error)) from error
    return sum(math.prod(t.shape) for name, t in tensors.items() if "base_layer" not in name)


def _new_parameters(config: ModelConfig, run: TrainingRun) -> int:
    """A has rank times the columns of a weight, B its rows times rank; DoRA a magnitude a row. A
    new token has a row of the embedding, and one of a head with weights of its own."""
    preset, shapes = run.preset, expected_shapes(config)
    require_modules(run, (name.removesuffix(".weight") for name in shapes))
    count = len(run.new_tokens) * config.hidden_size * _token_matrices(config)
    for name, shape in shapes.items():
        if name.endswith(tuple(f".{module}.weight" for module in preset.modules)):
            rows, columns = shape
            count += preset.rank * (rows + columns) + (rows if preset.dora else 0)
    return count


def _token_matrices(config: ModelConfig) -> int:
    """How many matrices have a row for each token."""
    return 1 if config.tie_word_embeddings else 2


def _token_copies(config: ModelConfig) -> int:
    """Numbers of the copy that PEFT makes of the head with the trained rows in it.

    SmolLM2-135M took 92 MB more with new tokens than without; this is 113 MB.
    """
    return config.vocab_size * config.hidden_size


def _kept_numbers(config: ModelConfig, *, checkpointing: bool) -> int:
    """Numbers that the forward pass of one token keeps for the backward pass."""
    hidden, layers = config.hidden_size, config.num_hidden_layers
    kv_size = config.kv_heads * config.head_size
    # Inputs and outputs of both norms and the inputs of the adapters; queries, keys and values
    # before and after RoPE, and what attention returns; gate, its activation, up and their product.
    layer = 6 * hidden + 3 * config.query_size + 4 * kv_size + 4 * config.intermediate_size
    # Recomputed activations are kept for one layer at a time, besides the inputs of all.
    return hidden * layers + layer if checkpointing else layer * layers
