"""Fine-tuning runs that take seconds, and their results."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from tests.train.processes import run, run_until_killed

SMALL = ("--preset", "cpu-try", "--batch", "4", "--hold-out", "0.2", "--max-length", "96")
TOO_FAST = ("--learning-rate", "0.1", "--schedule", "constant", "--warmup-steps", "0")
"""The held-out loss falls, and then rises again."""


def finetune(base: Path, corpus: Path, output: Path, *more: object) -> dict[str, Any]:
    process = run(
        "finetune", "--base", base, "--data", corpus, "-o", output, *SMALL, *more, "--json"
    )
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout)["run"]
    return result


def weights(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = load_file(folder / "adapter_model.safetensors")
    return result


def read_samples(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def held_out_losses(manifest: dict[str, Any]) -> dict[int, float]:
    return {point["step"]: point["loss"] for point in manifest["losses"] if point.get("held_out")}


def kill_after_checkpoint(output: Path, last_step: int, *command: object) -> None:
    """Run a training in ``output`` that is killed after its first checkpoint.

    It leaves what a run that was killed while it saved leaves too.
    """
    killed = run_until_killed(*command)
    assert killed.returncode == -signal.SIGKILL, "it was killed before it finished"
    checkpoints = output / "checkpoints"
    assert len(list(checkpoints.glob("checkpoint-*/trainer_state.json"))) == 1
    unfinished = checkpoints / f"checkpoint-{last_step - 1}"
    unfinished.mkdir()
    (unfinished / "trainer_state.json").write_text('{"cut')
