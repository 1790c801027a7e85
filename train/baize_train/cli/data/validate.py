"""``baize-train data validate``: list what is wrong with which dialogue."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

import typer

from baize_shared.commands import FAILED
from baize_shared.printing import print_line
from baize_train.cli import flags
from baize_train.cli.filter_options import FilterOptions, choose_filters, filter_limits
from baize_train.cli.output.corpora import print_validation
from baize_train.cli.reading_options import ReadingOptions
from baize_train.corpus.dialogues import Dialogue
from baize_train.corpus.quality import UNTRAINABLE, FilterName, Limits, find_problems
from baize_train.corpus.reading import InvalidRecord, read_placed

_SHOWN = 20
"""Dialogues whose problems are listed; the rest are counted."""


@dataclass(frozen=True, kw_only=True)
class ValidateOptions(FilterOptions, ReadingOptions):
    """Options of ``baize-train data validate``."""

    files: flags.CorpusFiles
    least_turns: Annotated[
        int | None, typer.Option(min=1, help="Fewest answers; turns the filter turns on.")
    ] = None
    json: flags.Json = False


def run_validate(options: ValidateOptions) -> None:
    """Print all problems; ends with exit code 1 if there are any."""
    limits, filters = filter_limits(options, options.least_turns or 1), _filters(options)
    problems: Counter[str] = Counter()
    unread: Counter[str] = Counter()
    count = bad = 0
    for file in options.files:
        for place, record in read_placed(file, options.fields, unread):
            count += 1
            descriptions = _describe_problems(record, limits, filters)
            problems.update(descriptions)
            bad += bool(descriptions)
            if descriptions and not options.json and bad <= _SHOWN:
                print_line(f"{place}: {'; '.join(descriptions)}")
    print_validation(count, bad, problems, unread, unlisted=bad - _SHOWN, json=options.json)
    if bad:
        raise typer.Exit(FAILED)


def _filters(options: ValidateOptions) -> frozenset[FilterName]:
    more: tuple[FilterName, ...] = ("turns",) if options.least_turns is not None else ()
    return choose_filters(options, UNTRAINABLE, more=more)


def _describe_problems(
    record: Dialogue | InvalidRecord, limits: Limits, filters: frozenset[FilterName]
) -> list[str]:
    if isinstance(record, InvalidRecord):
        return [record.problem]
    return [problem.description for problem in find_problems(record, limits, filters)]
