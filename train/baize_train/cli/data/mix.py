"""``baize-train data mix``: mix corpora by ratios."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from baize_shared.named_numbers import parse_named_number
from baize_shared.typed_text import typed_file
from baize_train.cli import flags
from baize_train.cli.output.corpora import print_written
from baize_train.cli.reading_options import ReadingOptions
from baize_train.corpus.dialogues import Dialogue
from baize_train.corpus.mixing import mix
from baize_train.corpus.writing import check_outputs, write_corpus
from baize_train.errors import TrainError, warn


@dataclass(frozen=True, kw_only=True)
class MixOptions(ReadingOptions):
    """Options of ``baize-train data mix``."""

    corpora: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE=RATIO...", help="Corpora and their ratios.", parser=typed_file
        ),
    ]
    output: flags.OutputFile
    total: Annotated[int | None, typer.Option(min=1, help="Most dialogues.")] = None
    seed: flags.Seed = 0


def run_mix(options: MixOptions) -> None:
    """Mix the corpora and write the result."""
    ratios = dict(_parse_part(argument) for argument in options.corpora)
    if len(ratios) < len(options.corpora):
        raise TrainError("a file is named twice, and its dialogues would be too: raise its ratio")
    check_outputs([options.output], ratios)
    parts = [(_read_some(options, file), ratio) for file, ratio in ratios.items()]
    dialogues = mix(parts, options.seed, options.total)
    taken = {id(dialogue) for dialogue in dialogues}
    for file, (part, _) in zip(ratios, parts, strict=True):
        if taken.isdisjoint(map(id, part)):
            warn(f"{file}: its ratio is so small that none of its dialogues is in the mix")
    print_written(options.output, write_corpus(dialogues, options.output, "messages"))


def _read_some(options: MixOptions, file: Path) -> list[Dialogue]:
    """The dialogues of a corpus that has any: with an empty one the whole mix would be empty."""
    dialogues = list(options.read([file]))
    if not dialogues:
        raise TrainError(f"{file}: there is no dialogue in it to mix")
    return dialogues


def _parse_part(argument: str) -> tuple[Path, float]:
    """The file and the ratio of ``FILE=RATIO``."""
    try:
        name, ratio = parse_named_number(argument)
    except ValueError as error:
        raise TrainError(f"{argument}: {error}") from None
    if ratio <= 0:
        raise TrainError(f"{argument}: the ratio must be greater than 0")
    return Path(name), ratio
