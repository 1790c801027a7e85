"""The modules of a base that get a LoRA. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Iterable

from baize_train.errors import TrainError
from baize_train.training.run import TrainingRun


def require_modules(run: TrainingRun, names: Iterable[str]) -> None:
    """Check that the base of ``run``, which has modules of these ``names``, has all those that its
    LoRA is for. PEFT leaves out one that is missing, if there is another one.

    Raises:
        TrainError: the base lacks one.
    """
    known = [f".{name}" for name in names]
    modules = run.preset.modules
    if missing := [m for m in modules if not any(name.endswith(f".{m}") for name in known)]:
        raise TrainError(
            f"{run.base} does not have the modules {', '.join(missing)}: name others with --modules"
        )
