"""``baize-tui models plan``: what a model will cost, from its headers alone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from baize_shared.printing import print_json, print_line
from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.fit import this_machine
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.cli.gpu_layers import with_gpu_layers
from baize_tui.cli.model_argument import known_adapter, parse_outtype, resolve_model
from baize_tui.cli.output import tell, warn_about_encoding
from baize_tui.cli.plan_output import adapter_summary, plan_lines
from baize_tui.engine.client import WorkerEngine
from baize_tui.paths import Paths, project_paths
from baize_tui.settings import load_settings

if TYPE_CHECKING:
    from baize_tui.catalog.plans import ModelPlan


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The options of ``models plan``; None means not given."""

    context: int | None = None
    gpu_layers: str | None = None
    outtype: str | None = None
    json: bool = False


def print_plan(model: str, options: PlanOptions) -> None:
    """Plan ``model`` and print the result."""
    paths = project_paths()
    if (adapter := known_adapter(model, paths)) is not None:
        _print_adapter_plan(adapter, paths, options)
        return
    resolved = resolve_model(model, paths, parse_outtype(options.outtype))
    plan = make_plan(resolved, paths, context=options.context, gpu_layers=options.gpu_layers)
    machine = this_machine(paths.models_folder)
    if options.json:
        print_json({**msgspec.to_builtins(plan), "machine": msgspec.to_builtins(machine)})
        return
    warn_about_encoding()
    for line in plan_lines(plan, machine):
        print_line(line)


def _print_adapter_plan(adapter: CatalogAdapter, paths: Paths, options: PlanOptions) -> None:
    from baize_tui.catalog.adapter_plan import plan_adapter

    plan = plan_adapter(adapter, paths)
    if options.json:
        print_json(msgspec.to_builtins(plan))
        return
    warn_about_encoding()
    print_line(adapter_summary(plan))


def make_plan(
    model: CatalogModel,
    paths: Paths,
    *,
    context: int | None = None,
    gpu_layers: str | None = None,
) -> ModelPlan:
    """What ``model`` will cost; ``context`` and ``gpu_layers`` replace those of the recipe and the
    settings.

    Raises:
        CommandError: ``gpu_layers`` is not a number of layers.
        CatalogError, ConvertError, EngineFailure, SettingsError: as their messages say.
    """
    settings = with_gpu_layers(load_settings(paths.settings_file), gpu_layers).model
    if context is not None:
        recipe = msgspec.structs.replace(model.recipe, context=context)
        model = msgspec.structs.replace(model, recipe=recipe)

    async def measure() -> ModelPlan:
        from baize_tui.catalog.planner import plan

        engine = WorkerEngine(paths, tell)
        try:
            return await plan(model, paths, engine, settings)
        finally:
            await engine.close()

    return asyncio.run(measure())
