"""Fine-tuning runs that take seconds, and their results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from tests.train.processes import run

SMALL = ("--preset", "cpu-try", "--batch", "4", "--hold-out", "0.2", "--max-length", "96")


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
