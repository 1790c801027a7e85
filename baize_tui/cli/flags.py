"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from baize_shared.typed_text import typed_file, typed_text
from baize_tui.cli.completion import complete_model, complete_persona, complete_session
from baize_tui.cli.translated_group import JSON_FLAG

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="A name, a GGUF file, server:URL or server:URL#model.",
        autocompletion=complete_model,
        parser=typed_file,
    ),
]
Session = Annotated[
    str | None,
    typer.Option(
        "--session",
        "-s",
        help="A conversation's id.",
        autocompletion=complete_session,
        parser=typed_text,
    ),
]
PersonaName = Annotated[
    str | None,
    typer.Option(
        "--persona",
        metavar="NAME",
        help="A persona for new conversations.",
        autocompletion=complete_persona,
        parser=typed_text,
    ),
]
GpuLayers = Annotated[
    str | None,
    typer.Option(
        "--gpu-layers",
        metavar="auto|N",
        help="Layers on the GPU: auto is as many as fit, -1 is all of them.",
        parser=typed_text,
    ),
]
DraftModel = Annotated[
    str | None,
    typer.Option(
        "--draft",
        metavar="M",
        help="A small model with the same vocabulary that guesses tokens, or none.",
        parser=typed_file,
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="No network: only what is on this machine.")
]

Json = Annotated[bool, typer.Option(JSON_FLAG, help="Print one JSON object.")]
