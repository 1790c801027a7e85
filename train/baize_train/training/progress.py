"""Steps and losses of a run, while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from baize_shared.interruption import note_kept_work
from baize_train.training.run_manifest import LossPoint


class StepProgress(Struct, frozen=True):
    """A step of a run that has finished."""

    step: int
    steps: int
    """Of the whole run."""
    seconds: float
    """Since the run started or resumed."""


ReportStep = Callable[[StepProgress, list[LossPoint]], object]
"""Called after each step with all losses so far."""


class LossRecorder(TrainerCallback):  # type: ignore[misc]
    """Keeps the losses and reports each step."""

    def __init__(self, report: ReportStep) -> None:
        self.losses: list[LossPoint] = []
        self._report = report
        self._started = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._started = time.monotonic()
        self.recall(state)

    def recall(self, state: TrainerState) -> None:
        """Take over the losses that a resumed run had before its checkpoint."""
        points = (_loss_point(row) for row in state.log_history)
        self.losses = [point for point in points if point is not None]

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        point = _loss_point({**(logs or {}), "step": state.global_step})
        if point is not None:
            self.losses.append(point)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        note_kept_work()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            seconds = time.monotonic() - self._started
            self._report(StepProgress(state.global_step, state.max_steps, seconds), self.losses)


class SaveEvery(TrainerCallback):  # type: ignore[misc]
    """Saves checkpoints at further steps than the evaluations, after which transformers saves them
    if the best one is to be kept."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step % self._steps == 0:
            control.should_save = True


def _loss_point(row: dict[str, Any]) -> LossPoint | None:
    if "eval_loss" in row:
        return LossPoint(row["step"], float(row["eval_loss"]), held_out=True)
    if "loss" in row:
        return LossPoint(row["step"], float(row["loss"]), learning_rate=row.get("learning_rate"))
    return None
