"""Whether this is one of several processes, started by ``accelerate launch`` or torchrun."""

from __future__ import annotations

import os


def is_main_process() -> bool:
    """Whether this process prints and writes the results."""
    return os.environ.get("RANK", "0") == "0"


def count_processes() -> int:
    """How many processes this run has."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_only_process() -> bool:
    """Whether there is no other process of this run."""
    return count_processes() == 1
