"""What models and adapters take, as ``planner`` and ``adapter_plan`` find it out."""

from __future__ import annotations

from msgspec import Struct

from baize_tui.catalog.fit import Fit
from baize_tui.footprint import Measurement


class Cost(Struct, frozen=True):
    """What downloading a model takes; all 0 if it is on this machine."""

    disk: int = 0
    """Bytes that will be written."""
    download: int = 0
    """Bytes that will be downloaded; those of a checkpoint are not stored."""


class ModelPlan(Struct, frozen=True):
    """What a model takes and whether it fits this machine."""

    name: str
    installed: bool
    cost: Cost
    bytes: int
    """Size of the GGUF."""
    measured: Measurement
    fit: Fit
    tokens_per_second: float | None
    enough_disk: bool
    license: str = ""
    """As the recipe or the file says; empty if neither does."""
    warnings: list[str] = []


class AdapterPlan(Struct, frozen=True):
    """What an adapter takes beside its base."""

    name: str
    installed: bool
    base: str | None
    """The model that it is for; None for any that it fits."""
    has_base: bool
    """Whether that is on this machine."""
    license: str
    """Empty if the recipe names none."""
    download: int
    """Bytes that will be downloaded."""
    bytes: int
    """Size of the GGUF, on the disk and in memory."""


Plan = ModelPlan | AdapterPlan
