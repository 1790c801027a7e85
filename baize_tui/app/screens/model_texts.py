"""How models and adapters are described in the list: a row for each, details, and costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from baize_shared.progress import bar
from baize_shared.sizes import size_text
from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.recipes import CatalogModel

if TYPE_CHECKING:
    from baize_tui.catalog.planner import ModelPlan

Entry = CatalogModel | CatalogAdapter

NOT_DOWNLOADED, FILE_GONE = "not downloaded", "file is gone"


def row_text(
    entry: Entry, *, in_use: bool, pulled_part: float | None, plan: ModelPlan | None
) -> str:
    """Name, state and licence; ``pulled_part`` is 0.0 to 1.0 while it is being pulled."""
    # The mark follows the name: spaces at the start of a row would be cut off.
    name = entry.name + (" ●" if in_use else "")
    if pulled_part is not None:
        state = f"{bar(pulled_part)} {pulled_part:.0%}"
    elif entry.path is not None:
        state = f"{_file_size(entry.path):>9}   {plan.fit if plan else ''}"
    elif plan is not None:
        state = f"{size_text(plan.cost.disk):>9} ↓ {plan.fit}"
    else:
        state = f" {NOT_DOWNLOADED}"
    return f"{name:<26.26} {state:<24.24} {entry.recipe.license}"


def adapter_hint(key: str) -> str:
    """How an adapter is used; ``key`` opens the options of a conversation."""
    return f"{key} applies it in a conversation, with a scale"


def details_text(entry: Entry, plan: ModelPlan | None, key: str) -> str:
    """What the recipe says, and what the model costs as far as that is known; for ``key`` see
    ``adapter_hint``."""
    recipe = entry.recipe
    lines = [entry.title, recipe.description, recipe.notice]
    if recipe.domain is not None:
        lines.append(recipe.domain.disclaimer)
    if isinstance(entry, CatalogAdapter):
        base = f" for {entry.recipe.base}" if entry.recipe.base else ""
        lines.append(f"An adapter{base}: {adapter_hint(key)}")
    if plan is not None:
        lines += plan_lines(plan)
    elif isinstance(entry, CatalogModel) and entry.recipe.is_on_hub:
        lines.append(f"From {entry.recipe.origin}")
    return "\n".join(line for line in lines if line)


def plan_lines(plan: ModelPlan) -> list[str]:
    """What a model costs, and how fast it is."""
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


def _file_size(file: Path) -> str:
    try:
        return size_text(file.stat().st_size)
    except OSError:  # removed after the list was read
        return FILE_GONE
