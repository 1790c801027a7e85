"""Report losses to TensorBoard or Weights & Biases, through transformers' own callbacks.

Nothing is reported that the user did not ask for, whatever is installed here.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from baize_shared.offline import is_offline
from baize_shared.sanitizer import clean_line
from baize_train.errors import TrainError
from baize_train.training.processes import is_main_process

ReportTarget = Literal["tensorboard", "wandb"]
TENSORBOARD_FOLDER = "tensorboard"
"""Inside the folder of the run, unless ``TENSORBOARD_LOGGING_DIR`` names another."""


def require_report_target(target: ReportTarget) -> None:
    """Check that the library of ``target`` is installed.

    Raises:
        TrainError: it is not; the message says what to install.
    """
    if find_spec(target) is None:
        raise TrainError(
            f"--report-to {target} needs {target}: pip install 'baize-tui[tracked-train]'"
        )


def prepare_reports(target: ReportTarget | None, output: Path) -> None:
    """Say to the library of ``target`` where the reports of the run in ``output`` go.

    Without the network W&B writes to the disk alone. It gets neither the output of the terminal nor
    weights, unless its own variables ask for them.

    Raises:
        TrainError: W&B cannot start, for want of a login or of its server.
    """
    # transformers would report to a training job of Kubeflow that it finds itself in.
    os.environ["DISABLE_KUBEFLOW_INTEGRATION"] = "TRUE"
    if target == "tensorboard":
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(output / TENSORBOARD_FOLDER))
    elif target == "wandb" and is_main_process():
        _start_wandb(output)


def _start_wandb(output: Path) -> None:
    """Start the run to which transformers then reports."""
    import wandb

    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_CONSOLE", "off")
    if is_offline():
        os.environ["WANDB_MODE"] = "offline"
    try:
        wandb.init(
            project=os.environ.get("WANDB_PROJECT", "baize"),
            name=output.absolute().name,
            dir=os.environ.get("WANDB_DIR", str(output)),
        )
    except (wandb.Error, OSError) as error:
        raise TrainError(
            f"W&B cannot start: {clean_line(str(error), 300)}; WANDB_MODE=offline needs no login"
        ) from error
