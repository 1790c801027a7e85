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

from baize_shared.sizes import size_text
from baize_train.errors import TrainError, warn
from baize_train.training.base_model import Device, choose_device
from baize_train.training.memory_estimate import estimate_memory, longest_row
from baize_train.training.presets import Preset
from baize_train.training.processes import is_main_process
from baize_train.training.run import TokenizedData, TrainingRun
from baize_tui.catalog.fit import this_machine

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
        if preset.full:
            options.append("a LoRA, without --full")
        elif torch.cuda.is_available():
            options.append("--quantize 4bit")
        raise TrainError(
            f"out of memory at step {trainer.state.global_step + 1}: try {', or '.join(options)}; "
            "checkpoints are kept"
        ) from error


@contextmanager
def explain_memory_of_loading(preset: Preset) -> Iterator[None]:
    """Name what to change if the base and what is trained of it do not fit the memory.

    Raises:
        TrainError: they do not.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        less = "a LoRA, without --full" if preset.full else f"a lower --rank (now {preset.rank})"
        raise TrainError(
            f"out of memory before the first step: try {less}, or a smaller base"
        ) from error


def peak_memory(device: Device) -> int:
    """The most bytes in use so far: of the GPU, or of this process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def require_memory(run: TrainingRun, data: TokenizedData) -> None:
    """Check that full fine-tuning can fit the device, before the base is loaded. It warns if that
    takes more memory than is free now. A LoRA takes little besides its base.

    Raises:
        TrainError: weights, gradients and optimizer alone are larger than the memory.
    """
    estimates = estimate_memory(run, longest_row(run, data)) if run.preset.full else None
    if estimates is None:
        return
    device = choose_device()
    estimate = estimates.gpu if device == "cuda" else estimates.cpu or estimates.gpu
    free, total = _memory(device, run)
    certain = estimate.weights + estimate.optimizer
    if certain > total:
        raise TrainError(
            f"--full takes {size_text(certain)} for weights, gradients and optimizer, and there "
            f"are {size_text(total)} of memory: train a LoRA, without --full, or a smaller base"
        )
    if estimate.total > free and is_main_process():
        warn(
            f"the run takes about {size_text(estimate.total)} of memory, and {size_text(free)} are "
            "free"
        )


def _memory(device: Device, run: TrainingRun) -> tuple[int, int]:
    """Free bytes and all bytes of the memory of ``device``."""
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        return int(free), int(total)
    machine = this_machine(run.output.absolute().parent)
    return machine.memory_free, machine.memory_total
