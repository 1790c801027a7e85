"""``baize-train finetune``: train a LoRA on dialogues."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from baize_shared.option_types import FiniteFloat
from baize_train.cli.bases import find_base
from baize_train.cli.libraries import (
    disable_progress_bars,
    require_training_libraries,
    silence_libraries,
)
from baize_train.cli.output.runs import print_run, print_training_plan
from baize_train.cli.progress import StepsProgress
from baize_train.cli.reading_options import ReadingOptions
from baize_train.cli.training_options import TrainingOptions, choose_preset
from baize_train.corpus.mixing import split
from baize_train.training.base_model import Quantization
from baize_train.training.processes import is_main_process
from baize_train.training.run import (
    TrainingData,
    TrainingRun,
    count_steps,
    read_training_data,
    tokenize_data,
)


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainingOptions, ReadingOptions):
    """Options of ``baize-train finetune``."""

    data: Annotated[list[Path], typer.Option("--data", help="A corpus; may be repeated.")]
    evaluation: Annotated[
        list[Path] | None, typer.Option("--eval", help="A corpus to hold out.")
    ] = None
    hold_out: Annotated[
        float,
        typer.Option(
            parser=FiniteFloat(min=0.0, max=0.9),
            help="Without --eval: part of the data to hold out.",
        ),
    ] = 0.05
    rank: Annotated[
        int | None, typer.Option(min=1, help="Rank of the LoRA; alpha becomes twice as much.")
    ] = None
    quantize: Annotated[
        Quantization, typer.Option(help="Load the base in fewer bits; needs an NVIDIA GPU.")
    ] = "none"
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count tokens and steps, do not train.")
    ] = False


def run_finetune(options: FinetuneOptions) -> None:
    """Train, or with ``dry_run`` count tokens and steps; print the result."""
    disable_progress_bars()
    if not options.dry_run:
        require_training_libraries()  # before a base is downloaded
    run = _training_run(options)
    if options.dry_run:
        data = tokenize_data(run)
        steps = count_steps(run, data.train)
        print_training_plan(data.train.counts, steps, run.preset.batch, json=options.json)
        return
    silence_libraries()
    # Imported here: PyTorch takes seconds.
    from baize_train.training.finetune import finetune

    with StepsProgress() as report:
        manifest = finetune(run, report)
    if is_main_process():
        print_run(manifest, run, adapters=[options.output], json=options.json)


def _training_run(options: FinetuneOptions) -> TrainingRun:
    preset = choose_preset(options, options.rank)
    data, held_out = _read_data(options)
    return TrainingRun(
        base=find_base(options.base, "tokenize" if options.dry_run else "train"),
        data=data,
        held_out=held_out,
        output=options.output,
        preset_name=options.preset,
        preset=preset,
        format=options.format,
        system=options.system,
        steps=options.steps,
        seed=options.seed,
        quantization=options.quantize,
        checkpointing=options.checkpointing,
        save_every=options.save_every,
    )


def _read_data(options: FinetuneOptions) -> tuple[TrainingData, TrainingData]:
    """The data to train on, and the held-out data: other files, or a part of the same ones."""
    data = read_training_data(options.data, options.fields)
    if options.evaluation:
        return data, read_training_data(options.evaluation, options.fields)
    kept, held_out = split(data.dialogues, options.hold_out, options.seed)
    return TrainingData(kept, data.files), TrainingData(held_out)
