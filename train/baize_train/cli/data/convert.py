"""``baize-train data convert``: clean corpora and write them in another format."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from baize_shared.option_types import FiniteFloat
from baize_shared.typed_text import typed_file
from baize_train.cli import flags
from baize_train.cli.filter_options import FilterOptions, choose_filters, filter_limits
from baize_train.cli.output.corpora import Conversion, print_conversion
from baize_train.cli.progress import CountProgress
from baize_train.cli.reading_options import ReadingOptions
from baize_train.cli.speaker_options import ServerFlags, server_access
from baize_train.corpus.dialogues import Dialogue
from baize_train.corpus.duplicates import REPEATED, SeenDialogues
from baize_train.corpus.personal_data import mask_dialogue
from baize_train.corpus.quality import FOR_CONVERSION, find_problems
from baize_train.corpus.writing import CorpusFormat, Unwritable, check_outputs, write_corpus


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(FilterOptions, ReadingOptions, ServerFlags):
    """Options of ``baize-train data convert``."""

    files: flags.CorpusFiles
    output: flags.OutputFile
    to: Annotated[CorpusFormat, typer.Option(help="The format to write.")] = "messages"
    keep_personal: flags.KeepPersonal = False
    dedupe: Annotated[
        float,
        typer.Option(
            parser=FiniteFloat(min=0.1, max=1.0),
            help="Similarity that counts as a repeat; 1: exact only.",
        ),
    ] = 1.0
    judge: Annotated[
        str | None,
        typer.Option(
            help="Who scores dialogues: local:MODEL or server:URL#model.", parser=typed_file
        ),
    ] = None
    least_score: Annotated[
        int, typer.Option(min=1, max=100, help="With --judge: drop dialogues below this score.")
    ] = 60
    json: flags.Json = False


def run_convert(options: ConvertOptions) -> None:
    """Read any format, drop what filters find, mask personal data, write a corpus."""
    check_outputs([options.output], options.files)
    result = Conversion(options.output)
    dialogues: Iterable[Dialogue] = _clean(options, result)
    if options.judge is not None:
        dialogues = _score(options, options.judge, list(dialogues), result)

    def drop(error: Unwritable) -> None:
        result.drop("format", str(error))

    result.written = write_corpus(dialogues, options.output, options.to, drop)
    print_conversion(result, json=options.json)


def _clean(options: ConvertOptions, result: Conversion) -> Iterator[Dialogue]:
    """The dialogues to keep; what is dropped and masked is counted in ``result``."""
    filters, limits = choose_filters(options, FOR_CONVERSION), filter_limits(options)
    seen = SeenDialogues(options.dedupe)
    for dialogue in options.read(options.files, result.dropped):
        if problems := find_problems(dialogue, limits, filters):
            result.drop(problems[0].kind, problems[0].description)
            continue
        if "repeats" in filters and not seen.add(dialogue):
            result.drop("repeats", REPEATED)
            continue
        if not options.keep_personal:
            dialogue, counts = mask_dialogue(dialogue)
            result.masked.update(counts)
        yield dialogue


def _score(
    options: ConvertOptions, judge: str, dialogues: list[Dialogue], result: Conversion
) -> list[Dialogue]:
    """The dialogues whose last answer scores high enough."""
    # Imported here: other conversions need no speaker.
    from baize_train.feedback.dialogue_scores import score_dialogues
    from baize_train.speakers.specs import open_speaker

    async def score() -> list[int | None]:
        speaker = open_speaker([judge], server_access(options, [judge]))
        try:
            with CountProgress("judged") as report:
                return await score_dialogues(speaker, dialogues, report)
        finally:
            await speaker.close()

    kept = []
    for dialogue, points in zip(dialogues, asyncio.run(score()), strict=True):
        if points is not None and points < options.least_score:
            result.drop("score", f"a score below {options.least_score}")
            continue
        result.unscored += points is None
        kept.append(dialogue)
    return kept
