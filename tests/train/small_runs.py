"""Fine-tunings that take seconds, and what they leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from tests.train.processes import run

SMALL = ("--preset", "cpu-try", "--batch", "4", "--hold-out", "0.2", "--max-length", "96")


def trained(base: Path, corpus: Path, output: Path, *more: object) -> dict[str, Any]:
    done = run("finetune", "--base", base, "--data", corpus, "-o", output, *SMALL, *more, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["run"]
    return found


def weights(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = load_file(folder / "adapter_model.safetensors")
    return found
