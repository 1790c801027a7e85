"""Whether a model fits this machine: what it takes, compared with what is free."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from baize_tui.footprint import Device, Footprint, Measurement
from baize_tui.translation import msg

Fit = Literal["fits", "tight", "does not fit"]
FIT_NAMES: Mapping[Fit, str] = {
    "fits": msg("fits"),
    "tight": msg("tight"),
    "does not fit": msg("does not fit"),
}
"""What a person is told, as messages."""
DECODE_SHARE = 0.7
"""Fraction of the memory's speed that decoding reaches on a processor; assumed for the estimate."""
ROOM = 0.85
"""A model that takes at most this fraction of the free memory leaves enough for other programs."""


class Machine(Struct, frozen=True):
    """Total and free bytes of this machine."""

    memory_total: int
    memory_free: int
    """Memory that a program can take without any swapping."""
    disk_free: int
    devices: list[Device] = []

    @property
    def budget(self) -> int:
        """Bytes of main memory that a model may take."""
        return int(self.memory_free * ROOM)


def this_machine(folder: Path, devices: Sequence[Device] = ()) -> Machine:
    """This machine; ``folder`` is where models are stored, or will be."""
    import psutil

    memory = psutil.virtual_memory()
    while not folder.exists():
        folder = folder.parent
    return Machine(memory.total, memory.available, shutil.disk_usage(folder).free, list(devices))


def judge_fit(footprint: Footprint, machine: Machine) -> Fit:
    """Whether a model of this size runs.

    ``tight``: it runs, but with little memory left for other programs, or with weights read from
    the disk again and again.
    """
    free = {device.name: device.free for device in machine.devices}
    if any(size > free.get(name, 0) for name, size in footprint.on_devices.items()):
        return "does not fit"
    if footprint.needed <= machine.budget:
        return "fits"
    return "tight" if footprint.needed <= machine.memory_free else "does not fit"


def tokens_per_second(measured: Measurement) -> float | None:
    """Estimated decoding speed: each token reads all weights and a half-full KV cache.

    None if a GPU does all of it: the speed of its memory was not measured.
    """
    if measured.read_bytes_per_token == 0 or measured.gpu_layers > measured.layers:
        return None
    return (
        DECODE_SHARE
        * measured.bandwidth
        / (measured.read_bytes_per_token + measured.footprint.kv / 2)
    )
