"""How much memory a run takes, and what to change when it is not enough."""

from __future__ import annotations

import math
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import Trainer

from baize_train.errors import TrainError
from baize_train.training.base_model import Device
from baize_train.training.presets import Preset

_CPU_ALLOCATION_FAILED = re.compile(
    "not enough memory|can't allocate memory|[Cc]annot allocate memory"
)


def is_out_of_memory(error: Exception) -> bool:
    """Whether ``error`` means that the device or the machine has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # On a CPU, PyTorch raises a plain RuntimeError: nothing but its text tells it from others.
    return isinstance(error, RuntimeError) and bool(_CPU_ALLOCATION_FAILED.search(str(error)))


@contextmanager
def explain_out_of_memory(
    trainer: Trainer, preset: Preset, *, checkpointing: bool
) -> Iterator[None]:
    """Name the options to change if a step needs more memory than there is.

    Raises:
        TrainError: it does.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        options = []
        if preset.micro_batch > 1:
            options.append(f"--micro-batch {math.ceil(preset.micro_batch / 2)}")
        if not checkpointing:
            options.append("--checkpointing")
        options.append(f"--max-length {max(64, preset.max_length // 2)}")
        if torch.cuda.is_available():
            options.append("--quantize 4bit")
        raise TrainError(
            f"out of memory at step {trainer.state.global_step + 1}: try {', or '.join(options)}; "
            "checkpoints are kept"
        ) from error


def peak_memory(device: Device) -> int:
    """The most bytes in use so far: of the GPU, or of this process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
