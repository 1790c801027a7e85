"""Arguments and options that several commands have, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from baize_shared.option_types import FiniteFloat
from baize_shared.typed_text import typed_file, typed_text
from baize_train.training.presets import SHORTEST, PresetName

CorpusFile = Annotated[Path, typer.Argument(help="A corpus.")]
CorpusFiles = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="Corpora, in any known format.")
]
OutputFile = Annotated[Path, typer.Option("--output", "-o", help="The file to write.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, no more.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]

Base = Annotated[
    str,
    typer.Option(
        help="A model's name, a GGUF, a Hugging Face folder, or hf:owner/name.", parser=typed_file
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", help="Prompt format; by default the model's own template.", parser=typed_text
    ),
]
System = Annotated[
    str | None,
    typer.Option(help="System prompt; by default that of the chat client.", parser=typed_text),
]
Preset = Annotated[PresetName, typer.Option(help="Set of hyperparameters.")]
MaxLength = Annotated[
    int | None, typer.Option("--max-length", min=SHORTEST, help="Tokens of a sequence.")
]

Temperature = Annotated[
    float,
    typer.Option(
        parser=FiniteFloat(min=0.0), help="Sampling temperature; 0 takes the likeliest token."
    ),
]
TopP = Annotated[
    float,
    typer.Option(
        parser=FiniteFloat(min=0.0, max=1.0), help="Sample from this part of the probability."
    ),
]
Passes = Annotated[
    int, typer.Option(min=2, help="Passes of the judge, each in another order of the answers.")
]
KeepPersonal = Annotated[
    bool, typer.Option("--keep-personal", help="Do not mask addresses and numbers.")
]
