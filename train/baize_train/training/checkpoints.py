"""Checkpoints of a run, to resume it after an interruption."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from baize_shared.json_errors import JSON_ERRORS

_PREFIX = "checkpoint-"
CHECKPOINTS = "checkpoints"
"""Their folder, inside that of the run."""
WEIGHTS = "adapter_model.safetensors"
MODEL_WEIGHTS = "model*.safetensors"
"""The files of a whole model, as transformers names them."""
_ALL_WEIGHTS = ("adapter_model.*", MODEL_WEIGHTS, "pytorch_model*.bin")
"""Also those of other programs and of earlier versions of PEFT and transformers."""
RESULTS = ("adapter_config.json", "config.json", "README.md", "run.json", "loss.png")
"""Files that a run writes and that other programs write too."""
TRAINER_STATE = "trainer_state.json"
"""``transformers.Trainer._save_checkpoint`` writes this file after all others."""


def weight_files(folder: Path) -> list[Path]:
    """The weights of an adapter or of a whole model in ``folder``; none if it has neither."""
    return sorted([*folder.glob(WEIGHTS), *folder.glob(MODEL_WEIGHTS)])


def kept_weights(folder: Path) -> str:
    """The name of a file with weights in ``folder``, of any program; empty if it has none."""
    files = (file.name for pattern in _ALL_WEIGHTS for file in sorted(folder.glob(pattern)))
    return next(files, "")


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in ``folder``. Incomplete ones are deleted, so that no run
    resumes from what a killed process left."""
    complete = []
    for checkpoint in folder.glob(f"{_PREFIX}*"):
        number = checkpoint.name.removeprefix(_PREFIX)
        if not number.isdecimal():
            continue
        if is_complete(checkpoint):
            complete.append((int(number), checkpoint))
        else:
            shutil.rmtree(checkpoint, ignore_errors=True)
    return max(complete)[1] if complete else None


def checkpoint_step(checkpoint: Path) -> int:
    """The step after which ``checkpoint`` was saved."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def checkpoint_of(folder: Path, step: int) -> Path:
    """Where in ``folder`` the checkpoint of ``step`` is."""
    return folder / f"{_PREFIX}{step}"


def is_end_of_run(checkpoint: Path) -> bool:
    """Whether the run had done its last step when it saved ``checkpoint``: it reached its length,
    or stopped early."""
    state = json.loads((checkpoint / TRAINER_STATE).read_bytes())
    # ``TrainerControl.state`` of transformers.
    control = state.get("stateful_callbacks", {}).get("TrainerControl", {}).get("args", {})
    return bool(control.get("should_training_stop"))


def is_complete(checkpoint: Path) -> bool:
    """Whether all of ``checkpoint`` was written; a killed process leaves a part of it."""
    from safetensors import SafetensorError, safe_open

    try:
        json.loads((checkpoint / TRAINER_STATE).read_bytes())
        weights = weight_files(checkpoint)
        for file in weights:
            with safe_open(file, "numpy"):
                pass
    except (OSError, SafetensorError, *JSON_ERRORS):
        return False
    return bool(weights)
