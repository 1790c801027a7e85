"""Whether a model fits this machine: rules over what it takes and what is free."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from baize_tui.footprint import Device, Footprint, Measurement

Fit = Literal["fits", "tight", "does not fit"]
DECODE_SHARE = 0.7
"""Of the memory's speed that decoding reaches on a processor: an assumption, for an estimate."""
ROOM = 0.85
"""A model that takes no more than this of the free memory leaves enough for all else."""


class Machine(Struct, frozen=True):
    """What is free here, in bytes."""

    memory_total: int
    memory_free: int
    """What a program can have without anything being swapped out."""
    disk_free: int
    devices: list[Device] = []

    @property
    def budget(self) -> int:
        return int(self.memory_free * ROOM)


def this_machine(folder: Path, devices: Sequence[Device] = ()) -> Machine:
    """This machine; ``folder`` is where models are kept, or will be."""
    import psutil

    memory = psutil.virtual_memory()
    while not folder.exists():
        folder = folder.parent
    return Machine(memory.total, memory.available, shutil.disk_usage(folder).free, list(devices))


def fit_of(footprint: Footprint, machine: Machine) -> Fit:
    """``tight``: it runs, with little left for other programs, or with weights read again and again
    from the disk."""
    free = {device.name: device.free for device in machine.devices}
    if any(size > free.get(name, 0) for name, size in footprint.on_devices.items()):
        return "does not fit"
    if footprint.needed <= machine.budget:
        return "fits"
    return "tight" if footprint.needed <= machine.memory_free else "does not fit"


def tokens_per_second(measured: Measurement) -> float | None:
    """How fast it will answer, about: a token reads all weights, and a KV cache that is half full.

    None where a GPU does all of it: its memory was not measured.
    """
    if measured.read_bytes_per_token == 0 or measured.gpu_layers > measured.layers:
        return None
    return (
        DECODE_SHARE
        * measured.bandwidth
        / (measured.read_bytes_per_token + measured.footprint.kv / 2)
    )
