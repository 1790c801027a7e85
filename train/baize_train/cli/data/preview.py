"""``baize-train data preview``."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from baize_train.cli import flags
from baize_train.corpus.dialogues import Dialogue
from baize_train.corpus.reading import read_corpus
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer, Unusable
from baize_train.tokens.vocabulary import chat_format, open_vocabulary
from baize_train.training.base_model import base_folder


def preview_command(
    file: Annotated[Path, typer.Argument(help="A corpus.")],
    base: flags.Base = "smollm2-135m",
    preset: flags.PresetName = "modern",
    max_length: flags.Length = None,
    format: flags.Format = None,
    system: flags.System = None,
    first: Annotated[int, typer.Option(min=1, help="The dialogue to begin with.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="How many to show.")] = 1,
) -> None:
    """Show which tokens of a dialogue are trained, which are only read, and which are cut off."""
    from rich.console import Console

    from baize_train.tokens.preview import STYLES, fates, preview

    chosen = flags.preset_named(preset, max_length=max_length)
    console = Console(highlight=False)
    marks = console.color_system is None or console.no_color
    with open_vocabulary(base_folder(base)) as model:
        tokenizer = DialogueTokenizer(
            model.vocabulary, chat_format(model, format, system), chosen.loss
        )
        wanted = islice(enumerate(read_corpus(file), 1), first - 1, first - 1 + count)
        for number, dialogue in wanted:
            if not isinstance(dialogue, Dialogue):
                console.print(f"{dialogue.place}: {dialogue.why}", markup=False)
                continue
            try:
                tokens = tokenizer.tokenize(dialogue)
            except Unusable as error:
                console.print(f"{file.name}:{number}: left out: {error}", markup=False)
                continue
            found = [fate for _, fate in fates(tokens, chosen.max_length)]
            console.print(f"{file.name}:{number}", style="bold", markup=False)
            console.print(preview(tokens, model.vocabulary, chosen.max_length, marks=marks))
            console.print()
            for fate, style in STYLES.items():
                console.print(f"{found.count(fate):>8,} {fate}", style=style)
