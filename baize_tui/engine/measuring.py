"""What a model would take in memory, as llama.cpp reports it from the header alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import psutil

from baize_tui.engine.attention import choose_attention
from baize_tui.engine.draft_costs import MOST_TOKENS
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.context import Context
from baize_tui.engine.llama.gguf_header import TensorInfo
from baize_tui.engine.llama.log import capture_log
from baize_tui.engine.llama.machine import devices
from baize_tui.engine.llama.memory_bandwidth import measure_read_bandwidth
from baize_tui.engine.llama.model import Model
from baize_tui.engine.llama.repacking import is_repacked
from baize_tui.engine.model_header import read_chat_model, read_model_tensors
from baize_tui.engine.profiles import FULL, MachineProfile
from baize_tui.engine.protocol import Measure
from baize_tui.engine.threads.cores import most_threads
from baize_tui.footprint import Device, Footprint, Measurement
from baize_tui.settings import KvType

GPU_MARGIN = 256 << 20
"""Bytes of a GPU's free memory that are left for its driver."""
_STEP = 256
"""A context is a multiple of this many tokens."""
_KV = re.compile(r"(?:llama_kv_cache\w*|llama_memory_\w+): size = +([\d.]+) MiB")
_COMPUTE = re.compile(r"\w+: +(\S+) compute buffer size = +([\d.]+) MiB")
_OUTPUT = re.compile(r"llama_context: +(\S+) +output buffer size = +([\d.]+) MiB")
_LAYER = re.compile(r"blk\.(\d+)\.")


def measure(request: Measure, profile: MachineProfile = FULL) -> Measurement:
    """Measure the model of ``request`` under ``profile``.

    Raises:
        ModelFileError: llama.cpp cannot run the file as a model.
        EngineError: llama.cpp cannot make such a context.
    """
    header = read_chat_model(request.path)
    own_memory = psutil.Process().memory_info().rss
    trained = header.context_length
    n_ctx = context_size(request.context, trained)
    layers = request.gpu_layers if profile.gpu else 0
    if layers is None:
        layers = layers_that_fit(request.path, n_ctx, profile)
    flash, kv_type = request.flash_attention, request.kv_type
    with _Simulation(
        request.path, layers, own_memory, profile, flash_pays=flash, kv_type=kv_type
    ) as simulation:
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
            bandwidth=measure_read_bandwidth(most_threads()),
        )


def context_size(wanted: int, trained: int) -> int:
    """Tokens of a context: as wanted, at most what the model was trained with; 0 wants all."""
    return min(wanted, trained) if wanted and trained else trained


def layers_that_fit(path: str, n_ctx: int, profile: MachineProfile = FULL) -> int:
    """How many layers fit on the GPUs of this machine with a context of ``n_ctx``."""
    all_devices = devices()
    if not profile.gpu or not any(device.is_gpu for device in all_devices):
        return 0
    most = read_chat_model(path).layers + 1

    def device_bytes(layers: int) -> dict[str, int]:
        with _Simulation(path, layers, 0, profile) as simulation:
            return simulation.footprint(n_ctx).on_devices

    return most_layers(most, all_devices, device_bytes)


def most_layers(
    most: int, devices: Sequence[Device], device_bytes: Callable[[int], dict[str, int]]
) -> int:
    """The most layers, 0 to ``most``, whose buffers fit on every GPU of ``devices``.

    ``device_bytes`` gives the bytes that a number of layers takes on each device, by its name.
    """
    free = {device.name: device.free for device in devices if device.is_gpu}

    def fits(layers: int) -> bool:
        sizes = device_bytes(layers)
        return all(size + GPU_MARGIN <= free.get(name, 0) for name, size in sizes.items())

    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _largest_context(simulation: _Simulation, trained: int, budget: int) -> int:
    """The largest context that fits into ``budget`` bytes with the rest, in tokens; 0 for none."""
    low, high = 0, trained // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        fits = simulation.footprint(middle * _STEP).needed <= budget
        low, high = (middle, high) if fits else (low, middle - 1)
    return low * _STEP


class _Simulation:
    """A model loaded from its header alone, without weights."""

    def __init__(
        self,
        path: str,
        gpu_layers: int,
        own_memory: int,
        profile: MachineProfile,
        *,
        flash_pays: bool = True,
        kv_type: KvType = "f16",
    ) -> None:
        """``own_memory`` is what this process takes without a model, in bytes."""
        self._model = Model(path, gpu_layers=gpu_layers, simulated=True, profile=profile)
        self._profile = profile
        self._flash_pays = flash_pays
        self._kv_type = kv_type
        self._tensors = read_model_tensors(path)
        self._own_memory = own_memory
        self._gpus = [device for device in devices() if device.is_gpu] if profile.gpu else []
        self.layers = self._model.layers
        most = self.layers + 1
        wanted = most if gpu_layers < 0 else min(gpu_layers, most)
        self.gpu_layers = wanted if self._gpus else 0

    def __enter__(self) -> _Simulation:
        return self

    def __exit__(self, *_: object) -> None:
        self._model.close()

    @property
    def read_bytes_per_token(self) -> int:
        """Weights in main memory, except a separate embedding, of which only one row is read."""
        embedding = "token_embd.weight" if "output.weight" in self._tensors else ""
        return sum(
            tensor.bytes
            for name, tensor in self._tensors.items()
            if name != embedding and not self._is_on_gpu(name)
        )

    def footprint(self, n_ctx: int) -> Footprint:
        """What the model takes with a context of ``n_ctx`` tokens.

        llama.cpp gives the sizes of its buffers nowhere but in its log.
        """
        attention = choose_attention(
            on_gpu=self.gpu_layers != 0,
            flash_allowed=self._profile.flash_attention,
            flash_pays=self._flash_pays,
            n_ctx=n_ctx,
            heads=self._model.heads,
            kv_type=self._kv_type,
        )
        with capture_log() as lines:
            Context(
                self._model, n_ctx=n_ctx, n_batch=attention.batch, threads=1, threads_batch=1,
                abort=AbortFlag(), outputs=MOST_TOKENS, flash_attention=attention.flash,
                kv_type=attention.kv_type,
            ).close()  # fmt: skip
        kv = round(sum(float(match[1]) for line in lines if (match := _KV.match(line))) * 2**20)
        buffers: dict[str, int] = {}
        for line in lines:
            if match := _COMPUTE.match(line) or _OUTPUT.match(line):
                buffers[match[1]] = buffers.get(match[1], 0) + round(float(match[2]) * 2**20)
        weights = {tensor.name: tensor.bytes for tensor in self._tensors.values()}
        offloaded = {name for name in weights if self._is_on_gpu(name)}
        kv_offloaded = kv * min(self.gpu_layers, self.layers) // max(self.layers, 1)
        on_devices = {
            gpu.name: buffers.pop(gpu.name, 0)
            + (sum(weights[name] for name in offloaded) + kv_offloaded) // len(self._gpus)
            for gpu in self._gpus
            if self.gpu_layers
        }
        return Footprint(
            weights=sum(size for name, size in weights.items() if name not in offloaded),
            repacked=sum(t.bytes for t in self._tensors.values() if self._has_second_copy(t)),
            kv=kv - kv_offloaded,
            compute=sum(buffers.values()),
            program=self._own_memory,
            on_devices=on_devices,
        )

    def _is_on_gpu(self, tensor: str) -> bool:
        """The last layers are offloaded first, then the output layer (src/llama-model.cpp)."""
        layer = _LAYER.match(tensor)
        if layer is not None:
            return int(layer[1]) >= self.layers + 1 - self.gpu_layers
        return self.gpu_layers > self.layers and tensor.startswith("output")

    def _has_second_copy(self, tensor: TensorInfo) -> bool:
        if not self._profile.extra_buffers:
            return False
        # With a GPU, its host memory takes precedence (``make_cpu_buft_list``).
        if self._gpus or tensor.shape[1] == 1 or tensor.shape[2] > 1:
            return False
        if tensor.name == "token_embd.weight" and "output.weight" in self._tensors:
            return False
        return is_repacked(tensor.type, tensor.shape[0], tensor.shape[1])
