"""``baize-train finetune``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from baize_train.cli import flags
from baize_train.training.base_model import Quantization, base_folder
from baize_train.training.processes import is_main_process

if TYPE_CHECKING:
    from baize_train.tokens.token_sets import TokenCounts
    from baize_train.training.finetune import Run
    from baize_train.training.run_manifest import RunManifest


def finetune_command(
    data: flags.Data,
    output: flags.Output,
    base: flags.Base = "smollm2-135m",
    preset: flags.PresetName = "modern",
    evaluation: Annotated[
        list[Path] | None, typer.Option("--eval", help="A corpus that is held out.")
    ] = None,
    hold_out: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Else this part of the data.")
    ] = 0.05,
    format: flags.Format = None,
    system: flags.System = None,
    epochs: flags.Epochs = None,
    steps: flags.StepCount = None,
    learning_rate: flags.Rate = None,
    batch: flags.Batch = None,
    micro_batch: flags.MicroBatch = None,
    max_length: flags.Length = None,
    rank: flags.Rank = None,
    seed: flags.Seed = 0,
    quantize: Annotated[
        Quantization, typer.Option(help="Hold the base in fewer bits; on an NVIDIA GPU.")
    ] = "none",
    checkpointing: flags.Checkpointing = False,
    save_every: flags.SaveEvery = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count tokens and steps only.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Train a LoRA on dialogues; broken off, the same command goes on at the last checkpoint."""
    chosen = flags.preset_named(
        preset,
        epochs=epochs,
        learning_rate=learning_rate,
        batch=batch,
        micro_batch=micro_batch,
        max_length=max_length,
        rank=rank,
        alpha=None if rank is None else 2 * rank,
    )
    flags.no_bars_of_libraries()
    from baize_train.training.finetune import Run, finetune, steps_of, token_sets

    corpus, held_out = flags.corpora(data, evaluation or (), hold_out, seed)
    run = Run(
        base=base_folder(base),
        corpus=corpus,
        held_out=held_out,
        output=output,
        preset_name=preset,
        preset=chosen,
        format=format,
        system=system,
        steps=steps,
        seed=seed,
        quantization=quantize,
        checkpointing=checkpointing,
        save_every=save_every,
    )
    if dry_run:
        train, _ = token_sets(run)
        if json:
            print(
                msgspec.json.encode(
                    {"tokens": train.counts, "steps": steps_of(run, train)}
                ).decode()
            )
        else:
            _show_tokens(train.counts)
            print(f"{steps_of(run, train)} steps of {chosen.batch} sequences")
        return
    flags.need_training()
    flags.quiet_libraries()
    done = finetune(run, flags.StepLine())
    if not is_main_process():
        return
    if json:
        print(msgspec.json.encode({"run": done, "output": str(output)}).decode())
    else:
        show_run(done, run, [output])


def _show_tokens(counts: TokenCounts) -> None:
    print(
        f"{counts.dialogues:,} dialogues: {counts.trained:,} tokens are trained, "
        f"{counts.ignored:,} only read, {counts.cut:,} cut off"
    )
    for why, number in sorted(counts.left_out.items(), key=lambda one: -one[1]):
        print(f"{number:>8}  left out: {why}")


def show_run(done: RunManifest, run: Run, adapters: Sequence[Path]) -> None:
    """What became of a run; ``adapters`` are those that make the model, in their order."""
    from baize_train.training.loss_curve import curve_in_terminal

    _show_tokens(done.tokens)
    if curve := curve_in_terminal(done.losses):
        print(curve)
    held_out = [point.loss for point in done.losses if point.held_out]
    if held_out:
        print(f"loss on held-out dialogues: {held_out[0]:.3f} before, {held_out[-1]:.3f} after")
    print(
        f"{done.trainable:,} of {done.parameters:,} parameters trained, {done.steps} steps, "
        f"{done.seconds:,.0f} s, {done.tokens_per_second:,.0f} tokens a second"
    )
    print(f"{run.output}: the adapter, with run.json and loss.png")
    laid_over = " ".join(f"--adapter {adapter}" for adapter in adapters)
    print(f"next: baize-convert merge {run.base} {laid_over} --outtype Q4_K_M --output mine.gguf")
