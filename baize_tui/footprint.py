"""How much memory a model takes; the engine measures it, the catalog judges whether it fits."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

DeviceKind = Literal["cpu", "gpu", "igpu", "accel", "other"]
"""``igpu`` shares the main memory with the processor."""


class Device(Struct, frozen=True):
    """What llama.cpp can compute on; bytes are 0 where it does not report them."""

    name: str
    description: str
    kind: DeviceKind
    free: int = 0
    total: int = 0

    @property
    def is_gpu(self) -> bool:
        return self.kind in ("gpu", "igpu")


class Footprint(Struct, frozen=True):
    """Bytes that a loaded model takes with its context, as llama.cpp reports them."""

    weights: int
    """The file mapped into main memory: the system can drop pages and read them again."""
    repacked: int
    """A second copy of some weights, in the order that suits this processor."""
    kv: int
    compute: int
    program: int
    """The process itself, with its libraries and the vocabulary."""
    on_devices: dict[str, int] = {}
    """Weights, KV cache and compute buffers on each GPU."""

    @property
    def resident(self) -> int:
        """Main memory that the process occupies once everything has been used."""
        return self.weights + self.repacked + self.kv + self.compute + self.program

    @property
    def needed(self) -> int:
        """Main memory that is read for every token.

        Without the pages of the file that were repacked: the system reclaims those under pressure.
        """
        return self.resident - self.repacked


def beside(model: Footprint, draft: Footprint) -> Footprint:
    """What ``model`` takes together with its draft model, in one process."""
    names = [*model.on_devices, *draft.on_devices]
    return Footprint(
        weights=model.weights + draft.weights,
        repacked=model.repacked + draft.repacked,
        kv=model.kv + draft.kv,
        compute=model.compute + draft.compute,
        program=model.program,
        on_devices={
            name: model.on_devices.get(name, 0) + draft.on_devices.get(name, 0) for name in names
        },
    )


class Measurement(Struct, frozen=True):
    """What llama.cpp reports about a model before it is loaded."""

    footprint: Footprint
    n_ctx: int
    """The context that was measured, in tokens."""
    n_ctx_train: int
    layers: int
    gpu_layers: int
    """Layers on a GPU: those that were requested, or as many as fit."""
    largest_context: int
    """The largest context that fits into the budget; 0 without a budget."""
    read_bytes_per_token: int
    """Weights in main memory that are read for each token."""
    bandwidth: float
    """Bytes per second that this machine reads from its main memory."""
