"""``baize-train data split``: hold a part of a corpus out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from baize_shared.option_types import FiniteFloat
from baize_train.cli import flags
from baize_train.cli.output.corpora import print_written
from baize_train.cli.reading_options import ReadingOptions
from baize_train.corpus.mixing import split
from baize_train.corpus.writing import check_outputs, write_corpus


@dataclass(frozen=True, kw_only=True)
class SplitOptions(ReadingOptions):
    """Options of ``baize-train data split``."""

    file: flags.CorpusFile
    train: Annotated[Path, typer.Option(help="File of the dialogues to train on.")]
    evaluation: Annotated[Path, typer.Option("--eval", help="File of the held-out dialogues.")]
    part: Annotated[
        float, typer.Option(parser=FiniteFloat(min=0.0, max=1.0), help="Part to hold out.")
    ] = 0.05
    seed: flags.Seed = 0


def run_split(options: SplitOptions) -> None:
    """Split the corpus and write both files."""
    check_outputs([options.train, options.evaluation], [options.file])
    kept, held_out = split(list(options.read([options.file])), options.part, options.seed)
    for output, dialogues in ((options.train, kept), (options.evaluation, held_out)):
        print_written(output, write_corpus(dialogues, output, "messages"))
