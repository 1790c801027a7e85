"""What a model will cost, as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from baize_shared.licenses import UNKNOWN_LICENSE
from baize_shared.sizes import size_text
from baize_tui.catalog.fit import Machine

if TYPE_CHECKING:
    from baize_tui.catalog.plans import AdapterPlan, ModelPlan


def plan_summary(plan: ModelPlan) -> str:
    """One line: download, disk, memory, whether it fits, and the licence."""
    memory = size_text(plan.measured.footprint.needed)
    return (
        f"{plan.name}: {size_text(plan.cost.download)} to download, {size_text(plan.cost.disk)} "
        f"on the disk, {memory} of memory to chat with it: {plan.fit}; licence: "
        f"{plan.license or UNKNOWN_LICENSE}"
    )


def adapter_summary(plan: AdapterPlan) -> str:
    """One line: download, size, base and licence."""
    download = "" if plan.installed else f"{size_text(plan.download)} to download, "
    base = f"of {plan.base}" if plan.base is not None else "of its model"
    return (
        f"{plan.name}: {download}{size_text(plan.bytes)} on the disk, and in memory beside the "
        f"weights {base}; licence: {plan.license or UNKNOWN_LICENSE}"
    )


def plan_lines(plan: ModelPlan, machine: Machine) -> Iterator[str]:
    """Everything that is known, one subject a line."""
    yield from _disk_lines(plan, machine)
    yield from _memory_lines(plan, machine)
    measured = plan.measured
    if measured.largest_context:
        yield _line(
            "context", f"up to {measured.largest_context} of {measured.n_ctx_train} tokens fit"
        )
    else:
        yield _line("context", "none fits")
    if plan.tokens_per_second is not None:
        yield _line("speed", f"about {plan.tokens_per_second:.3g} tokens/s")
    yield _line("licence", plan.license or UNKNOWN_LICENSE)
    for warning in plan.warnings:
        yield _line("note", warning)


def _disk_lines(plan: ModelPlan, machine: Machine) -> Iterator[str]:
    if plan.installed:
        yield _line("disk", f"{size_text(plan.bytes)}, already installed")
        return
    verdict = "" if plan.enough_disk else ": too little"
    needed, free = size_text(plan.cost.disk), size_text(machine.disk_free)
    yield _line("disk", f"{needed} of {free} free{verdict}")
    yield _line("download", size_text(plan.cost.download))


def _memory_lines(plan: ModelPlan, machine: Machine) -> Iterator[str]:
    measured, footprint = plan.measured, plan.measured.footprint
    yield _line(
        "memory",
        f"{size_text(footprint.needed)} of {size_text(machine.memory_free)} free with a context "
        f"of {measured.n_ctx}: {plan.fit}",
    )
    parts = {
        "weights": footprint.weights,
        "KV cache": footprint.kv,
        "compute": footprint.compute,
        "program": footprint.program,
    }
    yield _line("", ", ".join(f"{name} {size_text(size)}" for name, size in parts.items() if size))
    if footprint.repacked:
        yield _line(
            "",
            f"and {size_text(footprint.repacked)} of the file that are read once, to be repacked "
            "for this processor",
        )
    for device, size in footprint.on_devices.items():
        layers = f"{measured.gpu_layers} of {measured.layers + 1} layers"
        yield _line(device, f"{size_text(size)}, {layers}")


def _line(label: str, text: str) -> str:
    return f"{label:<13} {text}"
