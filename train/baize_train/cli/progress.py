"""Progress on stderr: one line on a terminal, elsewhere a line for each tenth of the work."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from baize_shared.printing import ProgressLine
from baize_shared.progress import TimeLeft, progress_text
from baize_shared.sizes import size_text
from baize_train.errors import PROGRAM, warn

if TYPE_CHECKING:
    from baize_train.training.progress import StepProgress
    from baize_train.training.run_manifest import LossPoint
    from baize_train.training.samples import Sample


class _WorkProgress:
    """Shows how much of a known amount of work is done."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._line = ProgressLine(PROGRAM)
        self._time_left = TimeLeft()
        self._tenth_shown = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.clear()

    def _show(self, done: int, total: int, detail: str = "", count: str = "") -> None:
        part = done / total
        left = " · ".join(filter(None, (detail, self._time_left.after(part))))
        count = count or f"{done} of {total}"
        text = progress_text(self._what, part, count=count, left=left)
        tenth = int(part * 10)
        if sys.stderr.isatty():
            self._line.show(text)
        elif tenth > self._tenth_shown:
            warn(text)
        self._tenth_shown = max(self._tenth_shown, tenth)


class CountProgress(_WorkProgress):
    """Progress of a number of items."""

    def __call__(self, done: int, total: int) -> None:
        self._show(done, total)


class BytesProgress(_WorkProgress):
    """Progress of a download of ``total`` bytes, which comes in pieces."""

    def __init__(self, what: str, total: int) -> None:
        super().__init__(what)
        self._done, self._total = 0, total

    def __call__(self, size: int) -> None:
        self._done += size
        done = min(self._done, self._total)  # files that were there before are counted, too
        self._show(done, self._total, count=f"{size_text(done)} of {size_text(self._total)}")


class StepsProgress(_WorkProgress):
    """Progress of a training run, with its last loss."""

    def __init__(self) -> None:
        super().__init__("training, step")

    def __call__(self, progress: StepProgress, losses: Sequence[LossPoint]) -> None:
        trained = [point.loss for point in losses if not point.held_out]
        loss = f"loss {trained[-1]:.3f}" if trained else ""
        self._show(progress.step, progress.steps, loss)

    def show_sample(self, sample: Sample) -> None:
        """Print an answer of the model, on a line of its own."""
        self._line.clear()
        end = "" if sample.complete else " …"
        warn(f"step {sample.step}: {sample.question} → {sample.answer}{end}")
