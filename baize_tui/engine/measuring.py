"""What a model would take in memory: llama.cpp itself tells it, from the header alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import psutil

from baize_tui.engine.bindings import (
    AbortFlag,
    Context,
    Model,
    TensorInfo,
    devices,
    is_repacked,
    log_lines,
    read_bandwidth,
    read_header,
    read_tensors,
)
from baize_tui.engine.cores import most_threads
from baize_tui.engine.profiles import FULL, MachineProfile
from baize_tui.engine.protocol import Measure
from baize_tui.footprint import Device, Footprint, Measurement

BATCH, GPU_BATCH = 512, 128
"""Tokens of one decode call while reading the prompt. Smaller ones are up to a fifth slower on a
processor, where a cancel also comes through inside a call; GPUs finish what they have begun."""
GPU_MARGIN = 256 << 20
"""Bytes of a GPU's free memory that are left for what its driver takes besides."""
_STEP = 256
"""A context is a multiple of so many tokens."""
_KV = re.compile(r"(?:llama_kv_cache\w*|llama_memory_\w+): size = +([\d.]+) MiB")
_COMPUTE = re.compile(r"\w+: +(\S+) compute buffer size = +([\d.]+) MiB")
_OUTPUT = re.compile(r"llama_context: +(\S+) +output buffer size = +([\d.]+) MiB")
_LAYER = re.compile(r"blk\.(\d+)\.")


def measure(request: Measure, profile: MachineProfile = FULL) -> Measurement:
    """What ``request`` asks for, under ``profile``.

    Raises:
        ModelFileError: the file is not a model that llama.cpp can run.
        EngineError: there is no such context.
    """
    header = read_header(request.path)
    program = psutil.Process().memory_info().rss
    trained = header.context_length
    n_ctx = min(request.context, trained) if request.context and trained else trained
    layers = request.gpu_layers if profile.gpu else 0
    if layers is None:
        layers = layers_that_fit(request.path, n_ctx, profile)
    with _Simulation(request.path, layers, program, profile) as simulation:
        footprint = simulation.footprint(n_ctx)
        largest = 0
        if request.budget:
            largest = _largest_context(simulation, trained, request.budget)
        return Measurement(
            footprint=footprint,
            n_ctx=n_ctx,
            n_ctx_train=trained,
            layers=simulation.layers,
            gpu_layers=simulation.gpu_layers,
            largest_context=largest,
            read_bytes_per_token=simulation.read_bytes_per_token,
            bandwidth=read_bandwidth(most_threads()),
        )


def batch_size(gpu_layers: int) -> int:
    """Tokens of one decode call with so many layers on the GPU (-1 for all)."""
    return GPU_BATCH if gpu_layers else BATCH


def layers_that_fit(path: str, n_ctx: int, profile: MachineProfile = FULL) -> int:
    """How many layers go to the GPUs of this machine with a context of ``n_ctx``; 0 without any."""
    found = devices()
    if not profile.gpu or not any(device.is_gpu for device in found):
        return 0
    most = read_header(path).layers + 1

    def takes(layers: int) -> dict[str, int]:
        with _Simulation(path, layers, 0, profile) as simulation:
            return simulation.footprint(n_ctx).on_devices

    return most_layers(most, found, takes)


def most_layers(most: int, found: Sequence[Device], takes: Callable[[int], dict[str, int]]) -> int:
    """The most layers, 0 to ``most``, whose buffers fit on every GPU in ``found``."""
    free = {device.name: device.free for device in found if device.is_gpu}

    def fits(layers: int) -> bool:
        return all(size + GPU_MARGIN <= free.get(name, 0) for name, size in takes(layers).items())

    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _largest_context(simulation: _Simulation, trained: int, budget: int) -> int:
    """The most tokens of context with which all fits into ``budget`` bytes; 0 if none does."""
    low, high = 0, trained // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        fits = simulation.footprint(middle * _STEP).needed <= budget
        low, high = (middle, high) if fits else (low, middle - 1)
    return low * _STEP


class _Simulation:
    """A model of which only the header is there."""

    def __init__(self, path: str, gpu_layers: int, program: int, profile: MachineProfile) -> None:
        self._model = Model(path, gpu_layers=gpu_layers, simulated=True, profile=profile)
        self._profile = profile
        self._tensors = read_tensors(path)
        self._program = program
        self._gpus = [device for device in devices() if device.is_gpu] if profile.gpu else []
        self.layers = self._model.layers
        most = self.layers + 1
        asked = most if gpu_layers < 0 else min(gpu_layers, most)
        self.gpu_layers = asked if self._gpus else 0

    def __enter__(self) -> _Simulation:
        return self

    def __exit__(self, *_: object) -> None:
        self._model.close()

    @property
    def read_bytes_per_token(self) -> int:
        """Weights in main memory but an embedding of its own, of which one row is read."""
        own = "token_embd.weight" if "output.weight" in self._tensors else ""
        return sum(
            tensor.bytes
            for name, tensor in self._tensors.items()
            if name != own and not self._is_on_gpu(name)
        )

    def footprint(self, n_ctx: int) -> Footprint:
        with log_lines() as lines:
            Context(
                self._model, n_ctx=n_ctx, n_batch=batch_size(self.gpu_layers), threads=1,
                threads_batch=1, abort=AbortFlag(), outputs=1,
                flash_attention=self._profile.flash_attention,
            ).close()  # fmt: skip
        kv = round(sum(float(found[1]) for line in lines if (found := _KV.match(line))) * 2**20)
        buffers: dict[str, int] = {}
        for line in lines:
            if found := _COMPUTE.match(line) or _OUTPUT.match(line):
                buffers[found[1]] = buffers.get(found[1], 0) + round(float(found[2]) * 2**20)
        weights = {tensor.name: tensor.bytes for tensor in self._tensors.values()}
        away = {name for name in weights if self._is_on_gpu(name)}
        kv_away = kv * min(self.gpu_layers, self.layers) // max(self.layers, 1)
        on_devices = {
            gpu.name: buffers.pop(gpu.name, 0)
            + (sum(weights[name] for name in away) + kv_away) // len(self._gpus)
            for gpu in self._gpus
            if self.gpu_layers
        }
        return Footprint(
            weights=sum(size for name, size in weights.items() if name not in away),
            repacked=sum(t.bytes for t in self._tensors.values() if self._has_second_copy(t)),
            kv=kv - kv_away,
            compute=sum(buffers.values()),
            program=self._program,
            on_devices=on_devices,
        )

    def _is_on_gpu(self, tensor: str) -> bool:
        """The last layers go first, then what stands behind them (src/llama-model.cpp)."""
        layer = _LAYER.match(tensor)
        if layer is not None:
            return int(layer[1]) >= self.layers + 1 - self.gpu_layers
        return self.gpu_layers > self.layers and tensor.startswith("output")

    def _has_second_copy(self, tensor: TensorInfo) -> bool:
        if not self._profile.extra_buffers:
            return False
        # With a GPU its own host memory comes first (``make_cpu_buft_list``).
        if self._gpus or tensor.shape[1] == 1 or tensor.shape[2] > 1:
            return False
        if tensor.name == "token_embd.weight" and "output.weight" in self._tensors:
            return False
        return is_repacked(tensor.type, tensor.shape[0], tensor.shape[1])
