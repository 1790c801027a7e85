"""The options that ``finetune`` and ``sdf`` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from baize_shared.option_types import FiniteFloat
from baize_train.cli import flags
from baize_train.training.presets import PRESETS, Preset


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a LoRA is trained. Options that are None leave the preset's value."""

    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the adapter.")]
    base: flags.Base = "smollm2-135m"
    preset: flags.Preset = "modern"
    format: flags.Format = None
    system: flags.System = None
    epochs: Annotated[
        float | None, typer.Option(parser=FiniteFloat(min=0.0), help="Passes over the data.")
    ] = None
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Steps, instead of epochs.")
    ] = None
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", parser=FiniteFloat(min=0.0), help="Peak learning rate."),
    ] = None
    batch: Annotated[int | None, typer.Option(min=1, help="Sequences of a step.")] = None
    micro_batch: Annotated[
        int | None, typer.Option(min=1, help="Sequences that a device takes at once.")
    ] = None
    max_length: flags.MaxLength = None
    seed: flags.Seed = 0
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Less memory, about a fifth slower.")
    ] = False
    save_every: Annotated[int | None, typer.Option(min=1, help="Steps between checkpoints.")] = None
    json: flags.Json = False


def choose_preset(options: TrainingOptions, rank: int | None = None) -> Preset:
    """The preset of ``options`` with the values that they replace."""
    replaced = {
        "epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "batch": options.batch,
        "micro_batch": options.micro_batch,
        "max_length": options.max_length,
        "rank": rank,
        "alpha": None if rank is None else 2 * rank,
    }
    given = {name: value for name, value in replaced.items() if value is not None}
    preset = msgspec.structs.replace(PRESETS[options.preset], **given)
    if preset.micro_batch > preset.batch:
        preset = msgspec.structs.replace(preset, micro_batch=preset.batch)
    return preset
