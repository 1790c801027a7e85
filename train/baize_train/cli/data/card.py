"""``baize-train data card``: describe a corpus for the Hugging Face Hub."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from baize_shared.atomic_files import write_atomically
from baize_shared.printing import print_line
from baize_shared.typed_text import typed_text
from baize_train.cli import flags
from baize_train.cli.reading_options import ReadingOptions
from baize_train.corpus.dataset_card import Terms, dataset_card
from baize_train.corpus.dialogues import teachers
from baize_train.corpus.statistics import measure_corpus
from baize_train.corpus.writing import check_not_read
from baize_train.errors import TrainError


@dataclass(frozen=True, kw_only=True)
class CardOptions(ReadingOptions):
    """Options of ``baize-train data card``."""

    file: flags.CorpusFile
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; by default stdout.")
    ] = None
    license: Annotated[
        str, typer.Option(help="License of the corpus, as the Hub names it.", parser=typed_text)
    ] = "unknown"
    teacher: Annotated[
        list[str] | None,
        typer.Option(help="Who wrote it, with the terms; may be repeated.", parser=typed_text),
    ] = None


def run_card(options: CardOptions) -> None:
    """Write the dataset card, with the license and the terms of the teachers."""
    if options.output is not None:
        check_not_read(options.output, [options.file])
    invalid: Counter[str] = Counter()
    dialogues = list(options.read([options.file], invalid))
    named = dict.fromkeys([*(options.teacher or ()), *teachers(dialogues)])
    card = dataset_card(
        options.file.stem,
        measure_corpus(dialogues),
        Terms(options.license, tuple(named)),
        dict(invalid.most_common()),
    )
    if options.output is None:
        print_line(card.removesuffix("\n"))
        return
    try:
        write_atomically(options.output, card.encode())
    except OSError as error:
        raise TrainError(f"{options.output}: {error.strerror}") from error
