"""Plans of several models, one after the other, measured by an engine of their own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from msgspec import Struct

from baize_convert.failures import ConvertError
from baize_tui.catalog.fit import this_machine
from baize_tui.catalog.planner import ModelPlan, plan
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.engine.client import EngineFailure, WorkerEngine
from baize_tui.paths import Paths
from baize_tui.settings import Settings


class PlanFailure(Struct, frozen=True):
    """Model ``name`` cannot be measured; ``reason`` is one line."""

    name: str
    reason: str


async def plan_models(
    models: Sequence[CatalogModel], paths: Paths, settings: Settings
) -> AsyncGenerator[ModelPlan | PlanFailure, None]:
    """The plan of each of ``models``, or why there is none."""
    if not models:
        return
    engine = WorkerEngine(paths)
    try:
        for model in models:
            try:
                diagnosis = await engine.diagnose()
                machine = this_machine(paths.models_folder, diagnosis.devices)
                measured = await plan(
                    model,
                    paths,
                    engine,
                    machine,
                    context=settings.model.context,
                    gpu_layers=settings.model.gpu_layers,
                )
            except (CatalogError, ConvertError, EngineFailure, OSError) as error:
                yield PlanFailure(model.name, str(error))
            else:
                yield measured
    finally:
        await engine.close()
