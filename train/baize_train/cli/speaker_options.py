"""The options about servers that the commands with speakers share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import typer

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.option_types import FiniteFloat
from baize_shared.typed_text import typed_file, typed_text
from baize_train.errors import TrainError
from baize_train.speakers.specs import ServerAccess, check_key_files


@dataclass(frozen=True, kw_only=True)
class ServerFlags:
    """How servers are reached and asked."""

    key_file: Annotated[
        list[str] | None,
        typer.Option(
            help="File with a server's key, or HOST=FILE; see the docs for other places.",
            parser=typed_file,
        ),
    ] = None
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=JSON", help="A parameter of each request to a server.", parser=typed_text
        ),
    ] = None
    thought_tokens: Annotated[
        int, typer.Option(min=0, help="For a reasoning model: tokens of thoughts, on top.")
    ] = 0
    timeout: Annotated[
        float | None,
        typer.Option(parser=FiniteFloat(min=1), help="Seconds to wait for a server's reply."),
    ] = None


def server_access(
    flags: ServerFlags, specs: Sequence[str], at_once: int | None = None
) -> ServerAccess:
    """How to reach the servers of ``specs``, all speakers of the command.

    Raises:
        TrainError: a parameter is not JSON, or it is unclear whose key a file has.
    """
    key_files = tuple(flags.key_file or ())
    if key_files:
        check_key_files(key_files, specs)
    return ServerAccess(
        key_files, read_parameters(flags.set or []), flags.thought_tokens, flags.timeout, at_once
    )


def read_parameters(arguments: Sequence[str]) -> dict[str, Any]:
    """The parameters in ``KEY=JSON`` arguments.

    Raises:
        TrainError: one has another form.
    """
    parameters: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        try:
            value = msgspec.json.decode(text)
        except JSON_ERRORS:
            value = None
            equals = ""
        if not equals or not name:
            raise TrainError(
                f"--set {argument}: write KEY=JSON, as in reasoning_effort='\"low\"' or top_k=20"
            )
        parameters[name] = value
    return parameters
