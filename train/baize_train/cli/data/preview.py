"""``baize-train data preview``: show which tokens of a dialogue are trained."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

import typer

from baize_train.cli import flags
from baize_train.cli.bases import find_base
from baize_train.cli.output.preview import PreviewPrinter
from baize_train.cli.reading_options import ReadingOptions
from baize_train.corpus.dialogues import Dialogue
from baize_train.corpus.reading import describe_unread, read_placed
from baize_train.errors import TrainError, warn
from baize_train.tokens.chat_format import choose_chat_format
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.skip_reasons import UntrainableDialogue
from baize_train.tokens.vocabulary import open_vocabulary
from baize_train.training.presets import PRESETS


@dataclass(frozen=True, kw_only=True)
class PreviewOptions(ReadingOptions):
    """Options of ``baize-train data preview``."""

    file: flags.CorpusFile
    base: flags.Base = "smollm2-135m"
    preset: flags.Preset = "modern"
    max_length: flags.MaxLength = None
    format: flags.Format = None
    system: flags.System = None
    first: Annotated[int, typer.Option(min=1, help="Number of the first dialogue to show.")] = 1
    count: Annotated[int, typer.Option(min=1, help="Number of dialogues to show.")] = 1


def run_preview(options: PreviewOptions) -> None:
    """Print dialogues as training sees them."""
    preset = PRESETS[options.preset]
    max_length = options.max_length or preset.max_length
    first = options.first - 1
    unread: Counter[str] = Counter()
    placed = read_placed(options.file, options.fields, unread)
    records = list(islice(placed, first, first + options.count))
    if not records:
        raise TrainError(f"{options.file} has fewer than {options.first} dialogues")
    with open_vocabulary(find_base(options.base, "tokenize")) as model:
        chat_format = choose_chat_format(model, options.format, options.system)
        tokenizer = DialogueTokenizer(model.vocabulary, chat_format, preset.loss)
        printer = PreviewPrinter(model.vocabulary, max_length)
        for place, record in records:
            if not isinstance(record, Dialogue):
                printer.print_skipped(place, record.problem)
                continue
            try:
                tokens = tokenizer.tokenize(record)
            except UntrainableDialogue as error:
                printer.print_skipped(place, str(error))
                continue
            printer.print_dialogue(place, tokens)
    if unread:
        warn(f"{options.file.name}: {describe_unread(unread)}")
