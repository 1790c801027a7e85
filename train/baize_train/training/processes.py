"""One of several processes, as ``accelerate launch`` and torchrun start them."""

from __future__ import annotations

import os


def is_main_process() -> bool:
    """Whether this is the one that speaks and writes."""
    return os.environ.get("RANK", "0") == "0"


def is_alone() -> bool:
    return os.environ.get("WORLD_SIZE", "1") == "1"
