"""``baize-train data convert``: clean corpora and write them in another format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from baize_shared.option_types import FiniteFloat
from baize_train.cli import flags
from baize_train.cli.output.corpora import print_conversion
from baize_train.corpus.dialogues import Dialogue
from baize_train.corpus.duplicates import REPEATED, SeenTexts, dialogue_text
from baize_train.corpus.personal_data import PersonalData, mask_dialogue
from baize_train.corpus.quality import find_problems
from baize_train.corpus.reading import read_dialogues
from baize_train.corpus.writing import CorpusFormat, write_corpus


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Options of ``baize-train data convert``."""

    files: flags.CorpusFiles
    output: flags.OutputFile
    to: Annotated[CorpusFormat, typer.Option(help="The format to write.")] = "messages"
    keep_bad: Annotated[bool, typer.Option("--keep-bad", help="Keep bad dialogues.")] = False
    keep_personal: flags.KeepPersonal = False
    dedupe: Annotated[
        float,
        typer.Option(
            parser=FiniteFloat(min=0.1, max=1.0),
            help="Similarity that counts as a repeat; 1: exact only.",
        ),
    ] = 0.8
    json: flags.Json = False


def run_convert(options: ConvertOptions) -> None:
    """Read any format, drop bad and repeated dialogues, mask personal data, write a corpus."""
    dropped: Counter[str] = Counter()
    masked: Counter[PersonalData] = Counter()
    dialogues = _clean(options, dropped, masked)
    count = write_corpus(dialogues, options.output, options.to)
    print_conversion(options.output, count, dropped, masked, json=options.json)


def _clean(
    options: ConvertOptions, dropped: Counter[str], masked: Counter[PersonalData]
) -> Iterator[Dialogue]:
    """The dialogues to keep; ``dropped`` and ``masked`` are counted on the way."""
    seen = SeenTexts(options.dedupe)
    for dialogue in read_dialogues(options.files, dropped):
        if not options.keep_bad and (problems := find_problems(dialogue)):
            dropped[problems[0].description] += 1
            continue
        if not seen.add(dialogue_text(dialogue)):
            dropped[REPEATED] += 1
            continue
        if not options.keep_personal:
            dialogue, counts = mask_dialogue(dialogue)
            masked.update(counts)
        yield dialogue
