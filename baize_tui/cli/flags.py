"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

GpuLayers = Annotated[
    str | None,
    typer.Option(
        "--gpu-layers",
        metavar="auto|N",
        help="Layers on the GPU: auto is as many as fit, -1 is all of them.",
    ),
]
DraftModel = Annotated[
    str | None,
    typer.Option(
        "--draft",
        metavar="M",
        help="A small model with the same vocabulary that guesses tokens, or none.",
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="No network: only what is on this machine.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
