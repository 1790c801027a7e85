"""``baize-train finetune``: train a LoRA, or all weights, on dialogues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from baize_convert.hub.names import HUB_PREFIX
from baize_shared.counts import count_text
from baize_shared.option_types import FiniteFloat
from baize_train.cli.bases import find_base
from baize_train.cli.evaluation_options import EvaluationOptions
from baize_train.cli.libraries import (
    disable_progress_bars,
    require_training_libraries,
    silence_libraries,
)
from baize_train.cli.output.runs import print_run, print_training_plan
from baize_train.cli.progress import StepsProgress
from baize_train.cli.reading_options import ReadingOptions
from baize_train.cli.trained_weights_options import TrainedWeightsOptions
from baize_train.cli.training_options import (
    TrainingOptions,
    adapter_tokens,
    choose_preset,
    refuse_lora_settings,
    require_option_libraries,
    trained_prompt,
)
from baize_train.corpus.dialogues import teachers
from baize_train.corpus.mixing import hold_out
from baize_train.errors import TrainError, warn
from baize_train.feedback.marks import has_marks, read_marks
from baize_train.feedback.preferences import read_preferences
from baize_train.tokens.new_tokens import check_texts
from baize_train.tokens.token_sets import TokenCounts
from baize_train.training.base_model import Quantization
from baize_train.training.continued_lora import read_lora_settings
from baize_train.training.memory_estimate import (
    MemoryEstimates,
    estimate_memory,
    longest_row,
)
from baize_train.training.preference_tokens import tokenize_marks, tokenize_pairs
from baize_train.training.presets import Preset
from baize_train.training.processes import is_main_process
from baize_train.training.run import (
    TrainingData,
    TrainingRun,
    count_steps,
    read_training_data,
    refuse_other_output,
    tokenize_data,
)
from baize_train.training.run_manifest import DataFile, RunKind, RunManifest, sha256_digest
from baize_tui.catalog.fit import this_machine

_HOLD_OUT = 0.05


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainingOptions, TrainedWeightsOptions, EvaluationOptions, ReadingOptions):
    """Options of ``baize-train finetune``."""

    data: Annotated[
        list[Path] | None, typer.Option("--data", help="A corpus; may be repeated.")
    ] = None
    preference: Annotated[
        list[Path] | None,
        typer.Option(help="Instead of --data: pairs of answers, for DPO, or marked ones, for KTO."),
    ] = None
    adapter: Annotated[
        Path | None,
        typer.Option(help="A LoRA to continue; with --preference, to train another one over it."),
    ] = None
    evaluation: Annotated[
        list[Path] | None, typer.Option("--eval", help="A corpus to hold out.")
    ] = None
    hold_out: Annotated[
        float | None,
        typer.Option(
            parser=FiniteFloat(min=0.0, max=0.9),
            help=f"Without --eval: part of the data to hold out, {_HOLD_OUT:g} by default.",
        ),
    ] = None
    rank: Annotated[
        int | None, typer.Option(min=1, help="Rank of the LoRA; alpha becomes twice as much.")
    ] = None
    quantize: Annotated[
        Quantization, typer.Option(help="Load the base in fewer bits; needs an NVIDIA GPU.")
    ] = "none"
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count tokens, steps and memory; do not train.")
    ] = False


def run_finetune(options: FinetuneOptions) -> None:
    """Train, or with ``dry_run`` count tokens and steps; print the result."""
    disable_progress_bars()
    if not options.dry_run:
        require_training_libraries()  # before a base is downloaded
        require_option_libraries(options)
    if bool(options.data) == bool(options.preference):
        raise TrainError("give either --data or --preference")
    if options.evaluation and options.hold_out:
        raise TrainError("give either --eval or --hold-out: each names the held-out dialogues")
    preset = choose_preset(options, options.rank, options.trained_weights)
    _check_trained_weights(options, preset)
    if not options.dry_run:
        refuse_other_output(options.output)
    if options.preference:
        _train_on_preferences(options, options.preference)
        return
    run = _training_run(options, *_read_data(options, options.data or []))
    if options.dry_run:
        data = tokenize_data(run)
        steps = count_steps(run, data.train)
        memory = estimate_memory(run, longest_row(run, data))
        _print_plan(options, run, "finetune", data.train.counts, steps, memory)
        return
    silence_libraries()
    # Imported here: PyTorch takes seconds.
    from baize_train.training.finetune import finetune

    with StepsProgress() as progress:
        manifest = finetune(run, progress, progress.show_sample)
    if is_main_process():
        adapters = [] if run.preset.full else [options.output]
        print_run(manifest, run, adapters=adapters, json=options.json)


def _print_plan(
    options: FinetuneOptions,
    run: TrainingRun,
    kind: RunKind,
    counts: TokenCounts,
    steps: int,
    memory: MemoryEstimates | None,
) -> None:
    free = this_machine(Path.cwd()).memory_free
    print_training_plan(kind, counts, steps, run.preset.batch, memory, free=free, json=options.json)


def _check_trained_weights(options: FinetuneOptions, preset: Preset) -> None:
    """Refuse settings of a LoRA, new tokens and full fine-tuning where they cannot work.

    Raises:
        TrainError: an option of them contradicts another one, or a token is not valid.
    """
    if preset.full:
        refuse_lora_settings(
            options,
            options.rank,
            why="--full trains no LoRA",
            about_file="full fine-tuning trains no LoRA",
        )
        if options.preference:
            raise TrainError(
                "--full learns from --data alone: --preference compares with the model as it was "
                "before, which a LoRA keeps in memory and --full would need twice"
            )
        if options.adapter is not None:
            raise TrainError("--full trains no LoRA: merge --adapter first, and give the result")
        if options.quantize != "none":
            raise TrainError("--full cannot train weights in fewer bits: leave --quantize out")
    elif options.adapter is not None and options.data:
        why = "--adapter continues a LoRA as it is"
        refuse_lora_settings(options, options.rank, why=why, about_file=why)
    check_texts(preset.added_tokens)
    if not preset.added_tokens:
        return
    if options.preference:
        raise TrainError(
            "new tokens are learned from --data: train them first, then --preference with --adapter"
        )
    if options.adapter is not None:
        raise TrainError(
            "--adapter continues a LoRA with the tokens that it has: new ones need a new LoRA"
        )
    if named := {"embed_tokens", "lm_head"} & set(() if preset.full else preset.modules):
        raise TrainError(
            f"new tokens are trained in embedding and head: leave {' and '.join(sorted(named))} "
            "out of the modules"
        )


def _train_on_preferences(options: FinetuneOptions, files: list[Path]) -> None:
    """DPO on pairs of answers, or KTO on marked ones, over the base or over the adapter of the
    options."""
    for option, given in (("--eval", options.evaluation), ("--hold-out", options.hold_out)):
        if given:
            raise TrainError(f"{option} measures dialogues of --data: --preference holds none out")
    kinds = {has_marks(file) for file in files}
    if len(kinds) > 1:
        raise TrainError("--preference takes either pairs or marks, not both at once")
    if kinds == {True}:
        _train_on_marks(options, files)
    else:
        _train_on_pairs(options, files)


def _train_on_pairs(options: FinetuneOptions, files: list[Path]) -> None:
    read = [list(options.read([file])) for file in files]
    pairs = [read_preferences(dialogues) for dialogues in read]
    dialogues = [dialogue for from_file in read for dialogue in from_file]
    counts = [len(from_file) for from_file in pairs]
    if not sum(counts):
        raise TrainError("there are no pairs: each needs a prompt, chosen and rejected")
    if single := len(dialogues) - sum(counts):
        warn(f"left out {count_text(single, 'dialogue')} without a rejected answer")
    run = _preference_run(options, files, counts)
    every = [pair for from_file in pairs for pair in from_file]
    if options.dry_run:
        tokens = tokenize_pairs(run, every, 0.0)
        memory = estimate_memory(run, tokens.longest, answers=2)
        _print_plan(options, run, "dpo", tokens.counts, tokens.steps(run), memory)
        return
    silence_libraries()
    from baize_train.training.sdf import SdfRun, train_sdf

    sdf = SdfRun(run, _first_adapter(options), "dpo", every, 0.0, {}, teachers(dialogues))
    with StepsProgress() as report:
        manifest = train_sdf(sdf, report)
    _print_preference_run(options, run, manifest)


def _train_on_marks(options: FinetuneOptions, files: list[Path]) -> None:
    from_files = [read_marks([file], options.fields) for file in files]
    marks = [mark for from_file in from_files for mark in from_file]
    if not marks:
        raise TrainError("there are no marks: each needs a prompt, a completion and a label")
    run = _preference_run(options, files, [len(from_file) for from_file in from_files])
    if options.dry_run:
        tokens = tokenize_marks(run, marks)
        memory = estimate_memory(run, tokens.longest)
        _print_plan(options, run, "kto", tokens.counts, tokens.steps(run), memory)
        return
    silence_libraries()
    from baize_train.training.kto import KtoRun, train_kto

    with StepsProgress() as report:
        manifest = train_kto(KtoRun(run, _first_adapter(options), marks), report)
    _print_preference_run(options, run, manifest)


def _first_adapter(options: FinetuneOptions) -> Path | None:
    return None if options.adapter is None else options.adapter.absolute()


def _print_preference_run(
    options: FinetuneOptions, run: TrainingRun, manifest: RunManifest
) -> None:
    if is_main_process():
        adapters = [*filter(None, [options.adapter]), options.output]
        print_run(manifest, run, adapters=adapters, json=options.json)


def _preference_run(
    options: FinetuneOptions, files: list[Path], counts: Sequence[int]
) -> TrainingRun:
    """``counts`` are the pairs or marks of each of the files."""
    counted = zip(files, counts, strict=True)
    sources = [DataFile(str(file), sha256_digest(file), count) for file, count in counted]
    run = _training_run(options, TrainingData([], sources), TrainingData())
    return msgspec.structs.replace(run, adapter=None)


def _training_run(
    options: FinetuneOptions, data: TrainingData, held_out: TrainingData
) -> TrainingRun:
    preset = choose_preset(options, options.rank, options.trained_weights)
    if options.adapter is not None and options.data:
        preset = msgspec.structs.replace(preset, **read_lora_settings(options.adapter))
    format, system = trained_prompt(options.adapter, options.format, options.system)
    evaluations = options.evaluations(held_out)  # refused before a base is downloaded
    base = find_base(options.base, "tokenize" if options.dry_run else "train")
    if preset.full and base.is_file():
        raise TrainError(
            f"--full needs a Hugging Face folder or hf:owner/name: {base} is a GGUF, which has no "
            "tokenizer for the new model"
        )
    return TrainingRun(
        base=base,
        data=data,
        held_out=held_out,
        output=options.output,
        preset_name=options.preset,
        preset=preset,
        format=format,
        system=system,
        adapter=_first_adapter(options),
        new_tokens=preset.added_tokens or adapter_tokens(options.adapter),
        base_name=options.base.removeprefix(HUB_PREFIX) if _is_on_hub(options.base) else "",
        steps=options.steps,
        seed=options.seed,
        quantization=options.quantize,
        checkpointing=options.checkpointing,
        save_every=options.save_every,
        kernels=options.kernels,
        report_to=options.report_to,
        evaluations=evaluations,
    )


def _is_on_hub(base: str) -> bool:
    """Whether other programs find ``base`` by its name, without a revision or folder."""
    return base.startswith(HUB_PREFIX) and "@" not in base and base.count("/") == 1


def _read_data(options: FinetuneOptions, files: list[Path]) -> tuple[TrainingData, TrainingData]:
    """The data to train on, and the held-out data: other files, or a part of the same ones."""
    data = read_training_data(files, options.fields)
    if options.evaluation:
        return data, read_training_data(options.evaluation, options.fields)
    part = _HOLD_OUT if options.hold_out is None else options.hold_out
    kept, held_out = hold_out(data.dialogues, part, options.seed)
    return TrainingData(kept, data.files), TrainingData(held_out)
