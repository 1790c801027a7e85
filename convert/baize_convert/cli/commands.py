"""The table of commands.

What a command needs is imported when it runs, so that ``--help`` does not wait for numpy and gguf.
"""

from __future__ import annotations

from typing import Any

import typer

from baize_convert.cli.options import (
    AdapterOptions,
    InspectOptions,
    MergeOptions,
    PlanOptions,
    VerifyOptions,
)
from baize_shared.program_group import ProgramGroup
from baize_shared.typer_commands import Command


def _plan(options: PlanOptions) -> None:
    from baize_convert.cli.actions import show_plan

    show_plan(options)


def _merge(options: MergeOptions) -> None:
    from baize_convert.cli.actions import run_merge

    run_merge(options)


def _adapter(options: AdapterOptions) -> None:
    from baize_convert.cli.actions import convert_adapter

    convert_adapter(options)


def _verify(options: VerifyOptions) -> None:
    from baize_convert.cli.actions import verify

    verify(options)


def _inspect(options: InspectOptions) -> None:
    from baize_convert.cli.actions import inspect

    inspect(options)


_COMMANDS: tuple[Command[Any], ...] = (
    Command(
        "plan",
        "Show what a merge would write and take: bytes, types, memory, time. Reads headers only.",
        PlanOptions,
        _plan,
    ),
    Command(
        "merge",
        "Merge and quantize in one pass; after an interruption the same command resumes.",
        MergeOptions,
        _merge,
    ),
    Command(
        "adapter",
        "Convert an adapter to a GGUF LoRA, which llama.cpp applies to the base at run time.",
        AdapterOptions,
        _adapter,
    ),
    Command(
        "verify",
        "Compare a file's tokenizer and predictions with the float32 merge it was made from.\n\n"
        "The merge is written beside F and removed at the end: 4 bytes a parameter.",
        VerifyOptions,
        _verify,
    ),
    Command("inspect", "Describe a folder or a file.", InspectOptions, _inspect),
)

app = typer.Typer(
    cls=ProgramGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From a Hugging Face checkpoint and PEFT adapters to a quantized GGUF, in one pass.",
)
for _command in _COMMANDS:
    _command.add_to(app)
