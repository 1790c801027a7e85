"""How models and adapters are described in the list: a row for each, details, and costs."""

from __future__ import annotations

from baize_shared.licenses import UNKNOWN_LICENSE
from baize_shared.progress import bar
from baize_shared.sizes import size_text
from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.estimates import estimated_bytes, estimated_fit
from baize_tui.catalog.fit import Machine
from baize_tui.catalog.plans import AdapterPlan, ModelPlan, Plan
from baize_tui.catalog.recipes import CatalogModel

Entry = CatalogModel | CatalogAdapter

HEADER = f"{'Name':<26} {'Size':>9}   {'Fit':<12} Licence"
"""The columns of ``row_text``."""
NOT_DOWNLOADED, FILE_GONE = "not downloaded", "file is gone"


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
    marks = f"{' ●' if in_use else ''}{' default' if is_default else ''}"
    name = f"{entry.name:.{26 - len(marks)}}{marks}"
    notes = [entry.recipe.license]
    if pulled_part is not None:
        state = f"{bar(pulled_part)} {pulled_part:.0%}"
    else:
        state = _state_text(entry, plan, machine)
        if entry.path is None and not _is_on_server(entry):
            notes.append(NOT_DOWNLOADED)
    return f"{name:<26} {state:<24.24} {' · '.join(note for note in notes if note)}"


def _is_on_server(entry: Entry) -> bool:
    return isinstance(entry, CatalogModel) and entry.recipe.server is not None


def _state_text(entry: Entry, plan: Plan | None, machine: Machine) -> str:
    if isinstance(entry, CatalogModel) and (address := entry.recipe.address) is not None:
        return f"at {address.host}"
    fit = plan.fit if isinstance(plan, ModelPlan) else ""
    if entry.path is not None:
        size = entry.file_bytes
        return FILE_GONE if size is None else f"{size_text(size):>9}   {fit}"
    if plan is not None:
        return f"{size_text(plan.bytes):>9} ↓ {fit}"
    if isinstance(entry, CatalogModel) and entry.recipe.is_on_hub:
        size = estimated_bytes(entry.recipe)
        if size is not None:
            about = f"≈ {size_text(size)}"
            return f"{about:>9} ↓ {estimated_fit(size, machine)}"
    return ""


def adapter_hint(key: str) -> str:
    """How an adapter is used; ``key`` opens the options of a conversation."""
    return f"{key} applies it in a conversation, with a scale"


def details_text(entry: Entry, plan: Plan | None, key: str) -> str:
    """What the recipe says, and what the model costs as far as that is known; for ``key`` see
    ``adapter_hint``."""
    recipe = entry.recipe
    lines = [entry.title]
    if isinstance(entry, CatalogAdapter):
        base = f" for {entry.recipe.base}" if entry.recipe.base else ""
        lines.append(f"An adapter{base}: {adapter_hint(key)}")
    # First: a small terminal cuts the rest.
    if plan is not None:
        lines += plan_lines(plan)
    lines += [recipe.description, recipe.notice]
    if recipe.domain is not None:
        lines.append(recipe.domain.disclaimer)
    if plan is None and isinstance(entry, CatalogModel) and entry.recipe.is_on_hub:
        lines.append(f"From {entry.recipe.origin}")
    if isinstance(entry, CatalogModel) and entry.words_go_to:
        lines.append(f"What you write to it leaves this computer: it goes to {entry.words_go_to}")
    return "\n".join(line for line in lines if line)


def plan_lines(plan: Plan) -> list[str]:
    """What a model or an adapter costs, and how fast the model is."""
    return _adapter_lines(plan) if isinstance(plan, AdapterPlan) else _model_lines(plan)


def download_text(plan: Plan, notice: str) -> str:
    """What a person has to know before a download: size, fit, licence and terms."""
    license = f"Licence: {plan.license or UNKNOWN_LICENSE}"
    return "\n".join([*plan_lines(plan), license, *([f"\n{notice}"] if notice else [])])


def _model_lines(plan: ModelPlan) -> list[str]:
    measured = plan.measured
    lines = [
        f"{size_text(measured.footprint.needed)} of memory with a context of {measured.n_ctx}: "
        f"{plan.fit}; up to {measured.largest_context} tokens fit"
    ]
    if not plan.installed:
        shortage = "" if plan.enough_disk else ", more than is free"
        lines.append(
            f"{size_text(plan.cost.download)} to download, {size_text(plan.cost.disk)} on disk"
            f"{shortage}"
        )
    if measured.footprint.on_devices:
        lines.append(f"{measured.gpu_layers} of {measured.layers + 1} layers on the GPU")
    if plan.tokens_per_second is not None:
        lines.append(f"about {plan.tokens_per_second:.3g} tokens/s")
    return [*lines, *plan.warnings]


def _adapter_lines(plan: AdapterPlan) -> list[str]:
    base = plan.base or "the model that it is applied to"
    lines = [f"{size_text(plan.bytes)} of memory beside {base}"]
    if not plan.installed:
        lines.append(f"{size_text(plan.download)} to download, {size_text(plan.bytes)} on disk")
    if not plan.has_base:
        lines.append(f"{base} has to be pulled first")
    return lines
