"""What a model will cost, as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from baize_shared.licenses import UNKNOWN_LICENSE
from baize_shared.sizes import size_text
from baize_tui.catalog.fit import FIT_NAMES, Machine
from baize_tui.measures import list_text, padded
from baize_tui.translation import msg, tr

if TYPE_CHECKING:
    from baize_tui.catalog.plans import AdapterPlan, ModelPlan, Plan


SUMMARY = msg(
    "{name}: {download} to download, {disk} on the disk, {memory} of memory to chat with it: "
    "{fit}; licence: {license}"
)
ADAPTER = msg(
    "{name}: {download} to download, {size} on the disk, and in memory beside the weights of "
    "{base}; licence: {license}"
)
INSTALLED_ADAPTER = msg(
    "{name}: {size} on the disk, and in memory beside the weights of {base}; licence: {license}"
)
ENOUGH_DISK, TOO_LITTLE_DISK = (
    msg("{needed} of {free} free"),
    msg("{needed} of {free} free: too little"),
)
MEMORY = msg("{needed} of {free} free with a context of {context}: {fit}")
REPACKED = msg("and {size} of the file that are read once, to be repacked for this processor")


def plan_summary(plan: ModelPlan) -> str:
    """One line: download, disk, memory, whether it fits, and the licence."""
    return tr(
        SUMMARY,
        name=plan.name,
        download=size_text(plan.cost.download),
        disk=size_text(plan.cost.disk),
        memory=size_text(plan.measured.footprint.needed),
        fit=tr(FIT_NAMES[plan.fit]),
        license=_license_text(plan),
    )


def adapter_summary(plan: AdapterPlan) -> str:
    """One line: download, size, base and licence."""
    return tr(
        INSTALLED_ADAPTER if plan.installed else ADAPTER,
        name=plan.name,
        download=size_text(plan.download),
        size=size_text(plan.bytes),
        base=plan.base if plan.base is not None else tr("its model"),
        license=_license_text(plan),
    )


def _license_text(plan: Plan) -> str:
    return plan.license or tr(UNKNOWN_LICENSE)


def plan_lines(plan: ModelPlan, machine: Machine) -> Iterator[str]:
    """Everything that is known, one subject a line."""
    yield from _disk_lines(plan, machine)
    yield from _memory_lines(plan, machine)
    measured = plan.measured
    if measured.largest_context:
        fitting = tr(
            "up to {largest} of {trained} tokens fit",
            largest=measured.largest_context,
            trained=measured.n_ctx_train,
        )
        yield _line(tr("context"), fitting)
    else:
        yield _line(tr("context"), tr("none fits"))
    if plan.tokens_per_second is not None:
        speed = f"{plan.tokens_per_second:.3g}"
        yield _line(tr("speed"), tr("about {speed} tokens/s", speed=speed))
    yield _line(tr("licence"), _license_text(plan))
    for warning in plan.warnings:
        yield _line(tr("note"), warning)


def _disk_lines(plan: ModelPlan, machine: Machine) -> Iterator[str]:
    if plan.installed:
        yield _line(tr("disk"), tr("{size}, already installed", size=size_text(plan.bytes)))
        return
    disk = ENOUGH_DISK if plan.enough_disk else TOO_LITTLE_DISK
    needed, free = size_text(plan.cost.disk), size_text(machine.disk_free)
    yield _line(tr("disk"), tr(disk, needed=needed, free=free))
    yield _line(tr("download"), size_text(plan.cost.download))


def _memory_lines(plan: ModelPlan, machine: Machine) -> Iterator[str]:
    measured, footprint = plan.measured, plan.measured.footprint
    memory = tr(
        MEMORY,
        needed=size_text(footprint.needed),
        free=size_text(machine.memory_free),
        context=measured.n_ctx,
        fit=tr(FIT_NAMES[plan.fit]),
    )
    yield _line(tr("memory"), memory)
    parts = {
        tr("weights"): footprint.weights,
        tr("KV cache"): footprint.kv,
        tr("compute"): footprint.compute,
        tr("program"): footprint.program,
    }
    yield _line(
        "", list_text([f"{name} {size_text(size)}" for name, size in parts.items() if size])
    )
    if footprint.repacked:
        yield _line("", tr(REPACKED, size=size_text(footprint.repacked)))
    for device, size in footprint.on_devices.items():
        on_device = tr(
            "{size}, {layers} of {total} layers",
            size=size_text(size),
            layers=measured.gpu_layers,
            total=measured.layers + 1,
        )
        yield _line(device, on_device)


def _line(label: str, text: str) -> str:
    return f"{padded(label, 13)} {text}"
