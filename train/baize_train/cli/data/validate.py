"""``baize-train data validate``: list what is wrong with which dialogue."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from baize_shared.commands import FAILED
from baize_shared.printing import print_line
from baize_train.cli import flags
from baize_train.cli.output.corpora import print_validation
from baize_train.corpus.dialogues import Dialogue
from baize_train.corpus.quality import Limits, find_problems
from baize_train.corpus.reading import InvalidRecord, read_corpus

_SHOWN = 20
"""Dialogues whose problems are listed; the rest are counted."""


@dataclass(frozen=True, kw_only=True)
class ValidateOptions:
    """Options of ``baize-train data validate``."""

    files: flags.CorpusFiles
    least_turns: Annotated[int, typer.Option(min=1, help="Fewest answers.")] = 1
    json: flags.Json = False


def run_validate(options: ValidateOptions) -> None:
    """Print all problems; ends with exit code 1 if there are any."""
    limits = Limits(min_turns=options.least_turns)
    problems: Counter[str] = Counter()
    count = bad = 0
    for file in options.files:
        for number, record in enumerate(read_corpus(file), 1):
            count += 1
            descriptions = _describe_problems(record, limits)
            problems.update(descriptions)
            bad += bool(descriptions)
            if descriptions and not options.json and bad <= _SHOWN:
                print_line(f"{_place(record, file, number)}: {'; '.join(descriptions)}")
    print_validation(count, bad, problems, unlisted=bad - _SHOWN, json=options.json)
    if bad:
        raise typer.Exit(FAILED)


def _describe_problems(record: Dialogue | InvalidRecord, limits: Limits) -> list[str]:
    if isinstance(record, InvalidRecord):
        return [record.problem]
    return [problem.description for problem in find_problems(record, limits)]


def _place(record: Dialogue | InvalidRecord, file: Path, number: int) -> str:
    return record.place if isinstance(record, InvalidRecord) else f"{file.name}:{number}"
