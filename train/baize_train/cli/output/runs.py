"""What ``finetune`` and ``sdf`` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from baize_shared.printing import print_json, print_line
from baize_shared.sizes import size_text
from baize_train.errors import warn
from baize_train.tokens.token_sets import TokenCounts
from baize_train.training.memory_estimate import MemoryEstimate, MemoryEstimates
from baize_train.training.run import TrainingRun
from baize_train.training.run_manifest import RunKind, RunManifest, best_step_text, held_out_text

_ROWS: Mapping[RunKind, str] = {
    "finetune": "dialogues",
    "sdf": "dialogues",
    "dpo": "pairs of answers",
    "kto": "marked answers",
}
"""What a run of each kind learns from."""


def print_training_plan(
    kind: RunKind,
    counts: TokenCounts,
    steps: int,
    batch: int,
    memory: MemoryEstimates | None,
    *,
    free: int,
    json: bool,
) -> None:
    """The result of ``finetune --dry-run``; ``free`` are bytes of memory on this machine."""
    if json:
        print_json({"tokens": counts, "steps": steps, "memory": memory})
        return
    _print_counts(kind, counts)
    print_line(f"{steps} steps of {batch} sequences")
    if memory is None:
        print_line("memory: not known for this architecture")
        return
    for where, estimate in (("a processor", memory.cpu), ("a GPU", memory.gpu)):
        if estimate is not None:
            print_line(_memory_text(where, estimate))
    if memory.cpu is not None and memory.cpu.total > free:
        warn(f"on this processor it needs more than the free memory, {size_text(free)}")


def _memory_text(where: str, estimate: MemoryEstimate) -> str:
    parts = {
        "weights": estimate.weights,
        "adapter and optimizer": estimate.adapter,
        "gradients and optimizer": estimate.optimizer,
        "activations": estimate.activations,
        "program": estimate.program,
    }
    listed = ", ".join(f"{size_text(size)} {name}" for name, size in parts.items() if size)
    return f"memory on {where}: about {size_text(estimate.total)} ({listed})"


def print_run(
    manifest: RunManifest,
    run: TrainingRun,
    *,
    adapters: Sequence[Path],
    json: bool,
    more: Mapping[str, int] | None = None,
) -> None:
    """The result of a run. ``adapters`` and their base make up the model, in this order; ``more``
    is added to the JSON."""
    if json:
        print_json({"run": manifest, "output": str(run.output), **(more or {})})
        return
    # Imported here because plotext is installed with the libraries of training.
    from baize_train.training.loss_curve import loss_curve_text

    _print_counts(manifest.kind, manifest.tokens)
    if curve := loss_curve_text(manifest.losses):
        print_line(curve)
    if losses := held_out_text(manifest):
        print_line(losses)
    if manifest.best_step is not None:
        print_line(best_step_text(manifest))
    print_line(
        f"{manifest.trainable:,} of {manifest.parameters:,} parameters trained, "
        f"{manifest.steps} steps, {manifest.seconds:,.0f} s, "
        f"{manifest.tokens_per_second:,.0f} tokens/s"
    )
    files = ["run.json", "loss.png", *(["samples.jsonl"] if run.evaluations.questions else [])]
    what, base = ("model", run.output) if run.preset.full else ("adapter", run.base)
    print_line(f"{run.output}: the {what}, with {', '.join(files[:-1])} and {files[-1]}")
    options = "".join(f" --adapter {adapter}" for adapter in adapters)
    print_line(f"next: baize-convert merge {base}{options} --outtype Q4_K_M --output mine.gguf")


def _print_counts(kind: RunKind, counts: TokenCounts) -> None:
    print_line(
        f"{counts.dialogues:,} {_ROWS[kind]}: {counts.trained:,} tokens trained, "
        f"{counts.ignored:,} only read, {counts.cut:,} cut off"
    )
    for reason, count in sorted(counts.left_out.items(), key=lambda item: -item[1]):
        print_line(f"{count:>8}  skipped: {reason}")
