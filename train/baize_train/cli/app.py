"""The table of commands, and how the program ends."""

from __future__ import annotations

from typing import Any

import typer

from baize_shared.commands import exit_code_of
from baize_shared.interruption import interruption_text
from baize_shared.program_group import ProgramGroup
from baize_shared.typer_commands import Command
from baize_train.cli.data.card import CardOptions, run_card
from baize_train.cli.data.convert import ConvertOptions, run_convert
from baize_train.cli.data.mix import MixOptions, run_mix
from baize_train.cli.data.preview import PreviewOptions, run_preview
from baize_train.cli.data.split import SplitOptions, run_split
from baize_train.cli.data.stats import StatsOptions, run_stats
from baize_train.cli.data.validate import ValidateOptions, run_validate
from baize_train.cli.evaluate import EvalOptions, run_eval
from baize_train.cli.finetune import FinetuneOptions, run_finetune
from baize_train.cli.libraries import explain_missing_library
from baize_train.cli.publish import PublishOptions, run_publish
from baize_train.cli.sdf import SdfOptions, run_sdf
from baize_train.cli.selfchat import SelfchatOptions, run_selfchat
from baize_train.errors import PROGRAM, TrainError

_COMMANDS: tuple[Command[Any], ...] = (
    Command(
        "selfchat",
        "Collect dialogues; run the same command again to continue after an interruption.",
        SelfchatOptions,
        run_selfchat,
    ),
    Command(
        "finetune",
        "Train a LoRA on dialogues; an interrupted run resumes from its last checkpoint.",
        FinetuneOptions,
        run_finetune,
    ),
    Command(
        "sdf",
        "Improve a fine-tuned model by feedback; an interrupted run resumes.",
        SdfOptions,
        run_sdf,
    ),
    Command(
        "eval",
        "Measure perplexity on held-out dialogues; a judge can compare answers with the base's.",
        EvalOptions,
        run_eval,
    ),
    Command(
        "publish",
        "Send an adapter or GGUFs to the Hugging Face Hub; run it again to continue.",
        PublishOptions,
        run_publish,
    ),
)
_DATA_COMMANDS: tuple[Command[Any], ...] = (
    Command(
        "validate",
        "List what is wrong with which dialogue; exit code 1 if something is.",
        ValidateOptions,
        run_validate,
    ),
    Command(
        "convert",
        "Read any format, drop bad and repeated dialogues, mask personal data, write a corpus.",
        ConvertOptions,
        run_convert,
    ),
    Command("mix", "Mix corpora by ratios; no dialogue is taken twice.", MixOptions, run_mix),
    Command(
        "split",
        "Hold dialogues out; the side of each does not depend on the others.",
        SplitOptions,
        run_split,
    ),
    Command(
        "stats",
        "Count dialogues, turns and lengths, as in the paper's Table 2.",
        StatsOptions,
        run_stats,
    ),
    Command(
        "preview",
        "Show which tokens of a dialogue are trained, only read, or cut off.",
        PreviewOptions,
        run_preview,
    ),
    Command(
        "card",
        "Write a dataset card with the license and the terms of the teachers.",
        CardOptions,
        run_card,
    ),
)


def _build_app() -> typer.Typer:
    app = typer.Typer(
        cls=ProgramGroup,
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Make your own chat model: collect dialogues, fine-tune, improve by feedback.",
    )
    for command in _COMMANDS:
        command.add_to(app)
    data = typer.Typer(no_args_is_help=True, help="Check, convert, mix and describe corpora.")
    for command in _DATA_COMMANDS:
        command.add_to(data)
    app.add_typer(data, name="data")
    return app


app = _build_app()


def run(arguments: list[str]) -> int:
    """Run a command: 0 done, 1 failed with one line, 2 wrong usage, 130 interrupted."""

    def command() -> object:
        try:
            return app(arguments, prog_name=PROGRAM)
        except ModuleNotFoundError as error:
            explained = explain_missing_library(error)
            if explained is None:
                raise
            raise explained from error

    return exit_code_of(
        PROGRAM,
        command,
        (TrainError,),
        interrupted=interruption_text,
    )
