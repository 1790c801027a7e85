"""Checkpoints of a run that was broken off."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

_PREFIX = "checkpoint-"
CHECKPOINTS = "checkpoints"
"""The folder of them, in that of the run."""
WEIGHTS = "adapter_model.safetensors"
_LAST_WRITTEN = "trainer_state.json"
"""``transformers.Trainer._save_checkpoint`` writes this after all else."""


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in ``folder``.

    What a killed process left half written is removed, so that nothing goes on from it.
    """
    found = []
    for one in folder.glob(f"{_PREFIX}*"):
        number = one.name.removeprefix(_PREFIX)
        if not number.isdigit():
            continue
        if _is_whole(one):
            found.append((int(number), one))
        else:
            shutil.rmtree(one, ignore_errors=True)
    return max(found)[1] if found else None


def _is_whole(checkpoint: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        json.loads((checkpoint / _LAST_WRITTEN).read_bytes())
        weights = sorted(checkpoint.rglob(WEIGHTS))
        for file in weights:
            with safe_open(file, "numpy"):
                pass
    except (OSError, ValueError, SafetensorError):
        return False
    return bool(weights)
