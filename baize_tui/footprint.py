"""What a model takes of memory. The engine measures it, the catalog judges whether it fits."""

from __future__ import annotations

from msgspec import Struct


class Device(Struct, frozen=True):
    """What llama.cpp can compute on; bytes are 0 where it does not tell them."""

    name: str
    description: str
    kind: str
    """``cpu``, ``gpu``, ``igpu`` (shares the main memory) or ``accel``."""
    free: int = 0
    total: int = 0

    @property
    def is_gpu(self) -> bool:
        return self.kind in ("gpu", "igpu")


class Footprint(Struct, frozen=True):
    """Bytes that a loaded model takes with its context, as llama.cpp reports them."""

    weights: int
    """Of the file, mapped into main memory: the system can drop and read them again."""
    repacked: int
    """A second copy of some weights in the order that this processor likes."""
    kv: int
    compute: int
    program: int
    """The process itself, with its libraries and the vocabulary."""
    on_devices: dict[str, int] = {}
    """Weights, KV cache and compute buffers on each GPU."""

    @property
    def resident(self) -> int:
        """Main memory that the process holds once all of it was used."""
        return self.weights + self.repacked + self.kv + self.compute + self.program

    @property
    def needed(self) -> int:
        """Main memory that it reads again and again: not the pages of the file that were repacked,
        which the system takes back where it is short of memory."""
        return self.resident - self.repacked


class Measurement(Struct, frozen=True):
    """What llama.cpp tells of a model before it is loaded."""

    footprint: Footprint
    n_ctx: int
    """The context that was measured, in tokens."""
    n_ctx_train: int
    layers: int
    gpu_layers: int
    """Those that fit, or that were asked for."""
    largest_context: int
    """The largest that fits into the budget; 0 without one."""
    read_bytes_per_token: int
    """Weights in main memory that a token is multiplied with."""
    bandwidth: float
    """Bytes per second that this machine reads from its main memory."""
