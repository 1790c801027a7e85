"""How models and adapters are described in the list: a row for each, details, and costs."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from baize_shared.progress import bar
from baize_shared.sizes import size_text
from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.estimates import estimated_bytes, estimated_fit
from baize_tui.catalog.fit import FIT_NAMES, Machine
from baize_tui.catalog.plans import AdapterPlan, ModelPlan, Plan
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.translation import msg, tr

Entry = CatalogModel | CatalogAdapter

_NAME, _SIZE, _STATE = 26, 9, 24
"""Cells of the columns of a row; the state begins with the size."""
LEAVES = msg("What you write to it leaves this computer: it goes to {host}")
MEMORY = msg("{size} of memory with a context of {context}: {fit}; up to {largest} tokens fit")
DOWNLOAD = msg("{size} to download, {disk} on disk")
NO_ROOM = msg("{size} to download, {disk} on disk, more than is free")
ON_GPU = msg("{layers} of {total} layers on the GPU")
NOT_DOWNLOADED, FILE_GONE = msg("not downloaded"), msg("file is gone")


def header() -> str:
    """The names of the columns of ``row_text``."""
    state = f"{_right(tr('Size'), _SIZE)}   {tr('Fit')}"
    return f"{set_cell_size(tr('Name'), _NAME)} {set_cell_size(state, _STATE)} {tr('Licence')}"


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def row_text(
    entry: Entry,
    *,
    in_use: bool,
    is_default: bool,
    pulled_part: float | None,
    plan: Plan | None,
    machine: Machine,
) -> str:
    """Name, state and licence; ``pulled_part`` is 0.0 to 1.0 while it is being pulled."""
    # The marks follow the name: spaces at the start of a row would be cut off.
    marks = f"{' ●' if in_use else ''}{' ' + tr('default') if is_default else ''}"
    name = f"{entry.name:.{_NAME - cell_len(marks)}}{marks}"
    notes = [entry.recipe.license]
    if pulled_part is not None:
        state = f"{bar(pulled_part)} {pulled_part:.0%}"
    else:
        state = _state_text(entry, plan, machine)
        if entry.path is None and not _is_on_server(entry):
            notes.append(tr(NOT_DOWNLOADED))
    shown = " · ".join(note for note in notes if note)
    return f"{set_cell_size(name, _NAME)} {set_cell_size(state, _STATE)} {shown}"


def _is_on_server(entry: Entry) -> bool:
    return isinstance(entry, CatalogModel) and entry.recipe.server is not None


def _state_text(entry: Entry, plan: Plan | None, machine: Machine) -> str:
    if isinstance(entry, CatalogModel) and (address := entry.recipe.address) is not None:
        return tr("at {host}", host=address.host)
    fit = tr(FIT_NAMES[plan.fit]) if isinstance(plan, ModelPlan) else ""
    if entry.path is not None:
        size = entry.file_bytes
        return tr(FILE_GONE) if size is None else f"{size_text(size):>{_SIZE}}   {fit}"
    if plan is not None:
        return f"{size_text(plan.bytes):>{_SIZE}} ↓ {fit}"
    if isinstance(entry, CatalogModel) and entry.recipe.is_on_hub:
        size = estimated_bytes(entry.recipe)
        if size is not None:
            about = f"≈ {size_text(size)}"
            return f"{about:>{_SIZE}} ↓ {tr(FIT_NAMES[estimated_fit(size, machine)])}"
    return ""


def adapter_hint(key: str) -> str:
    """How an adapter is used; ``key`` opens the options of a conversation."""
    return tr("{key} applies it in a conversation, with a scale", key=key)


def details_text(entry: Entry, plan: Plan | None, key: str) -> str:
    """What the recipe says, and what the model costs as far as that is known; for ``key`` see
    ``adapter_hint``."""
    recipe = entry.recipe
    lines = [entry.title]
    if isinstance(entry, CatalogAdapter):
        base, hint = entry.recipe.base, adapter_hint(key)
        about = tr("An adapter for {base}: {hint}", base=base, hint=hint)
        lines.append(about if base else tr("An adapter: {hint}", hint=hint))
    # First: a small terminal cuts the rest.
    if plan is not None:
        lines += plan_lines(plan)
    lines += [recipe.description, recipe.notice]
    if recipe.domain is not None:
        lines.append(recipe.domain.disclaimer)
    if plan is None and isinstance(entry, CatalogModel) and entry.recipe.is_on_hub:
        lines.append(tr("From {origin}", origin=entry.recipe.origin))
    if isinstance(entry, CatalogModel) and entry.words_go_to:
        lines.append(tr(LEAVES, host=entry.words_go_to))
    return "\n".join(line for line in lines if line)


def plan_lines(plan: Plan) -> list[str]:
    """What a model or an adapter costs, and how fast the model is."""
    return _adapter_lines(plan) if isinstance(plan, AdapterPlan) else _model_lines(plan)


def download_text(plan: Plan, notice: str) -> str:
    """What a person has to know before a download: size, fit, licence and terms."""
    license = tr("Licence: {license}", license=plan.license or tr("not stated"))
    return "\n".join([*plan_lines(plan), license, *([f"\n{notice}"] if notice else [])])


def _model_lines(plan: ModelPlan) -> list[str]:
    measured = plan.measured
    lines = [
        tr(
            MEMORY,
            size=size_text(measured.footprint.needed),
            context=measured.n_ctx,
            fit=tr(FIT_NAMES[plan.fit]),
            largest=measured.largest_context,
        )
    ]
    if not plan.installed:
        size, disk = size_text(plan.cost.download), size_text(plan.cost.disk)
        lines.append(tr(DOWNLOAD if plan.enough_disk else NO_ROOM, size=size, disk=disk))
    if measured.footprint.on_devices:
        lines.append(tr(ON_GPU, layers=measured.gpu_layers, total=measured.layers + 1))
    if plan.tokens_per_second is not None:
        lines.append(tr("about {speed} tokens/s", speed=f"{plan.tokens_per_second:.3g}"))
    return [*lines, *plan.warnings]


def _adapter_lines(plan: AdapterPlan) -> list[str]:
    base = plan.base or tr("the model that it is applied to")
    lines = [tr("{size} of memory beside {base}", size=size_text(plan.bytes), base=base)]
    if not plan.installed:
        size, disk = size_text(plan.download), size_text(plan.bytes)
        lines.append(tr(DOWNLOAD, size=size, disk=disk))
    if not plan.has_base:
        lines.append(tr("{base} has to be pulled first", base=base))
    return lines
