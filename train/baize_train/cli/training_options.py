"""The options that ``finetune`` and ``sdf`` share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from baize_shared.option_types import FiniteFloat
from baize_shared.toml_files import TomlError, read_toml
from baize_shared.trained_prompt import NewToken, read_trained_prompt
from baize_shared.typed_text import typed_text
from baize_train.cli import flags
from baize_train.errors import TrainError
from baize_train.training.kernels import Kernels
from baize_train.training.presets import (
    FULL_LEARNING_RATE,
    LARGEST_SEED,
    LORA_SETTINGS,
    MOST_DROPOUT,
    PRESETS,
    Preset,
    Schedule,
)
from baize_train.training.reporting import ReportTarget, require_report_target


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a LoRA is trained. Options that are None leave the preset's value."""

    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the adapter.")]
    base: flags.Base = "smollm2-135m"
    preset: flags.Preset = "modern"
    format: flags.Format = None
    system: flags.System = None
    epochs: Annotated[
        float | None, typer.Option(parser=FiniteFloat(above=0.0), help="Passes over the data.")
    ] = None
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Steps, instead of epochs.")
    ] = None
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", parser=FiniteFloat(above=0.0), help="Peak learning rate."),
    ] = None
    config: Annotated[
        Path | None,
        typer.Option(help="TOML with values of the preset; options of the command line win."),
    ] = None
    alpha: Annotated[int | None, typer.Option(min=1, help="Alpha of the LoRA.")] = None
    dropout: Annotated[
        float | None,
        typer.Option(parser=FiniteFloat(min=0.0, max=MOST_DROPOUT), help="Dropout of the LoRA."),
    ] = None
    modules: Annotated[
        str | None,
        typer.Option(help="Modules with a LoRA, as in q_proj,v_proj.", parser=typed_text),
    ] = None
    schedule: Annotated[Schedule | None, typer.Option(help="How the learning rate falls.")] = None
    warmup_steps: Annotated[
        int | None, typer.Option(min=0, help="Warm-up steps, at most a tenth of the run.")
    ] = None
    weight_decay: Annotated[
        float | None, typer.Option(parser=FiniteFloat(min=0.0), help="Weight decay.")
    ] = None
    dora: Annotated[bool, typer.Option("--dora", help="Weight-decomposed LoRA.")] = False
    rslora: Annotated[bool, typer.Option("--rslora", help="Rank-stabilized LoRA.")] = False
    neftune: Annotated[
        float | None,
        typer.Option(parser=FiniteFloat(min=0.0), help="Strength of NEFTune's noise."),
    ] = None
    batch: Annotated[int | None, typer.Option(min=1, help="Sequences of a step.")] = None
    micro_batch: Annotated[
        int | None, typer.Option(min=1, help="Sequences that a device takes at once.")
    ] = None
    max_length: flags.MaxLength = None
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="The same seed gives the same result.")
    ] = 0
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Less memory, about a fifth slower.")
    ] = False
    flash_attention: Annotated[
        bool, typer.Option("--flash-attention", help="Needs flash-attn and an NVIDIA GPU.")
    ] = False
    liger: Annotated[
        bool, typer.Option("--liger", help="Liger's kernels; needs liger-kernel and an NVIDIA GPU.")
    ] = False
    save_every: Annotated[int | None, typer.Option(min=1, help="Steps between checkpoints.")] = None
    report_to: Annotated[
        ReportTarget | None, typer.Option(help="Also report losses there; nothing is by default.")
    ] = None
    json: flags.Json = False

    @property
    def kernels(self) -> Kernels:
        """The kernels that the options name."""
        return Kernels(self.flash_attention, self.liger)


def require_option_libraries(options: TrainingOptions) -> None:
    """Check that the libraries of single options are installed, before anything is loaded.

    Raises:
        TrainError: one is missing; the message names the option.
    """
    options.kernels.require_installed()
    if options.report_to is not None:
        require_report_target(options.report_to)


def choose_preset(
    options: TrainingOptions, rank: int | None = None, more: Mapping[str, Any] | None = None
) -> Preset:
    """The preset of ``options`` with the values that a config file and they replace; ``more`` are
    values of options that other commands lack.

    Alpha is twice a rank that was chosen, unless it was chosen too.

    Raises:
        TrainError: the config file cannot be read, has an unknown key, or a value is out of range.
    """
    configured = _read_config(options.config)
    modules = options.modules
    replaced = {
        "alpha": options.alpha,
        "dropout": options.dropout,
        "modules": None if modules is None else tuple(modules.replace(" ", "").split(",")),
        "schedule": options.schedule,
        "warmup_steps": options.warmup_steps,
        "weight_decay": options.weight_decay,
        "dora": options.dora or None,
        "rslora": options.rslora or None,
        "neftune": options.neftune,
        "epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "batch": options.batch,
        "micro_batch": options.micro_batch,
        "max_length": options.max_length,
        "rank": rank,
        **(more or {}),
    }
    given = {name: value for name, value in replaced.items() if value is not None}
    preset = PRESETS[options.preset]
    if given.get("full") or configured.get("full"):
        preset = msgspec.structs.replace(preset, learning_rate=FULL_LEARNING_RATE)
    if options.config is not None:
        preset = _replace(preset, configured, str(options.config))
    preset = _replace(preset, given, "the options")
    chosen = {**configured, **given}
    if "rank" in chosen and "alpha" not in chosen:
        preset = msgspec.structs.replace(preset, alpha=2 * preset.rank)
    return preset


def _read_config(file: Path | None) -> dict[str, Any]:
    """The values in a TOML file; none without one."""
    if file is None:
        return {}
    try:
        values = read_toml(file, dict[str, Any])
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror}") from error
    except TomlError as error:
        raise TrainError(f"{file}: {error}") from error
    known = [name for name in Preset.__struct_fields__ if name != "about"]
    if unknown := sorted(values.keys() - set(known)):
        raise TrainError(f"{file}: unknown {', '.join(unknown)}; known: {', '.join(known)}")
    return values


def _replace(preset: Preset, values: Mapping[str, Any], origin: str) -> Preset:
    """``preset`` with the ``values`` that ``origin`` has.

    Raises:
        TrainError: one has another type, or is out of range.
    """
    try:
        return msgspec.convert({**msgspec.to_builtins(preset), **values}, Preset)
    except msgspec.ValidationError as error:
        raise TrainError(f"{origin}: {error}") from error


def _is_unset(value: object) -> bool:
    return value is None or value is False


def refuse_lora_settings(
    options: TrainingOptions, rank: int | None, *, why: str, about_file: str
) -> None:
    """Refuse, by their names, settings of a new LoRA where none is made: ``why``, for options, and
    ``about_file``, for the config file.

    Raises:
        TrainError: an option or the config file sets up a LoRA.
    """
    given = {"rank": rank, **{name: getattr(options, name) for name in LORA_SETTINGS[1:]}}
    names = [f"--{name}" for name, value in given.items() if not _is_unset(value)]
    if names:
        raise TrainError(f"{why}: leave {' and '.join(names)} out")
    if names := sorted(_read_config(options.config).keys() & set(LORA_SETTINGS)):
        raise TrainError(f"{options.config}: {about_file}: leave {' and '.join(names)} out")


def adapter_tokens(adapter: Path | None) -> tuple[NewToken, ...]:
    """The tokens that ``adapter`` added to the vocabulary of its base."""
    trained = None if adapter is None else read_trained_prompt(adapter)
    return () if trained is None else trained.new_tokens


def trained_prompt(
    adapter: Path | None, format: str | None, system: str | None
) -> tuple[str | None, str | None]:
    """Prompt format and system prompt: those given, else those of ``adapter``."""
    trained = None if adapter is None else read_trained_prompt(adapter)
    if trained is None:
        return format, system
    return format or trained.format, trained.system if system is None else system
