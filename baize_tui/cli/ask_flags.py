"""The options of ``ask`` that no other command has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from baize_shared.option_types import FiniteFloat
from baize_shared.typed_text import typed_file, typed_text

Question = Annotated[
    str | None,
    typer.Argument(
        help="The question; without it, or with '-', it is read from stdin.", parser=typed_text
    ),
]
System = Annotated[str | None, typer.Option(help="The system prompt.", parser=typed_text)]
Format = Annotated[str | None, typer.Option(help="Prompt format, e.g. baize.", parser=typed_text)]
NoSave = Annotated[bool, typer.Option("--no-save", help="Do not save the conversation.")]
Adapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="A[=SCALE]",
        help="A LoRA over the model; may be repeated.",
        parser=typed_file,
    ),
]

# --- sampling -----------------------------------------------------------------------------------

Seed = Annotated[int | None, typer.Option(min=0, max=2**32 - 1)]
Temperature = Annotated[float | None, typer.Option(parser=FiniteFloat(min=0.0))]
MaxTokens = Annotated[
    int | None, typer.Option(min=1, help="Most tokens of the answer, without the thought.")
]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        "--stop",
        metavar="TEXT",
        help="Ends the answer, \\n is a new line; may be repeated.",
        parser=typed_text,
    ),
]

# --- the thought before the answer --------------------------------------------------------------

Think = Annotated[
    bool | None,
    typer.Option(
        "--think/--no-think", help="Let the model think first, where its template has a switch."
    ),
]
MaxThinkingTokens = Annotated[
    int | None, typer.Option(min=0, help="Most tokens of the thought before the answer.")
]
ShowThinking = Annotated[
    bool | None,
    typer.Option(
        "--show-thinking/--hide-thinking",
        help="Print the thought to stderr; by default only to a terminal.",
    ),
]

# --- the form of the answer ---------------------------------------------------------------------

JsonObject = Annotated[bool, typer.Option("--json-object", help="Have the model answer with JSON.")]
JsonSchema = Annotated[
    Path | None,
    typer.Option("--json-schema", help="A JSON schema that the answer has to follow."),
]
Regex = Annotated[
    str | None,
    typer.Option("--regex", help="What the answer has to match as a whole.", parser=typed_text),
]
Grammar = Annotated[
    Path | None, typer.Option("--grammar", help="A GBNF file that the answer has to follow.")
]

# --- files --------------------------------------------------------------------------------------

Attach = Annotated[
    list[str] | None,
    typer.Option(
        "--attach",
        metavar="PATH",
        help="A file, a folder or a pattern below the question; may be repeated.",
        parser=typed_file,
    ),
]
AttachSecrets = Annotated[
    bool, typer.Option("--attach-secrets", help="Also attach what looks like a secret.")
]
