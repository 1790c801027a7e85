"""The options of ``finetune`` that say what an evaluation on held-out dialogues is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from baize_train.corpus.dialogues import Dialogue, Turn, first_question
from baize_train.errors import TrainError
from baize_train.selfchat.seed_files import read_seed_file
from baize_train.training.run import Evaluations, TrainingData


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """When the held-out loss is measured, and what follows from it."""

    eval_every: Annotated[
        int | None,
        typer.Option(min=1, help="Steps between evaluations; by default a fifth of the run."),
    ] = None
    keep_best: Annotated[
        bool,
        typer.Option("--keep-best", help="Keep the weights with the lowest held-out loss."),
    ] = False
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after as many evaluations without a lower loss; keep best."),
    ] = None
    samples: Annotated[
        int | None,
        typer.Option(
            min=1, help="Held-out questions, or lines of --questions, to answer each time."
        ),
    ] = None
    questions: Annotated[
        Path | None,
        typer.Option(help="A file with a question on each line, to answer at each evaluation."),
    ] = None

    def evaluations(self, held_out: TrainingData) -> Evaluations:
        """The evaluations of a run with these held-out dialogues.

        Raises:
            TrainError: an option needs held-out dialogues, and there are none; or the file of
                questions cannot be read.
        """
        given = {
            "--eval-every": self.eval_every,
            "--keep-best": self.keep_best,
            "--patience": self.patience,
            "--samples": self.samples,
            "--questions": self.questions,
        }
        if not held_out.dialogues and (needing := [name for name, value in given.items() if value]):
            raise TrainError(
                f"{' and '.join(needing)}: no dialogues are held out; give --data with --eval or "
                "--hold-out"
            )
        keep_best = self.keep_best or self.patience is not None
        questions = self._questions(held_out.dialogues)
        return Evaluations(self.eval_every, keep_best, self.patience, questions)

    def _questions(self, held_out: Sequence[Dialogue]) -> list[list[Turn]]:
        """The questions to answer, each as a dialogue that ends with it."""
        if self.questions is not None:
            lines = read_seed_file(self.questions)
            return [[Turn("user", line)] for line in islice(lines, self.samples)]
        asked = (first_question(dialogue) for dialogue in held_out)
        return list(islice(filter(None, asked), self.samples or 0))
