"""Plans of several models, one after the other, by an engine of their own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from baize_convert.failures import ConvertError
from baize_tui.catalog.fit import this_machine
from baize_tui.catalog.planner import ModelPlan, plan
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.engine.client import EngineFailure, WorkerEngine
from baize_tui.paths import Paths
from baize_tui.settings import Settings


async def plans_of(
    models: Sequence[CatalogModel], paths: Paths, settings: Settings
) -> AsyncGenerator[tuple[str, ModelPlan | str], None]:
    """Name and plan of each of ``models``, or why there is none."""
    if not models:
        return
    engine = WorkerEngine(paths)
    try:
        found = await engine.diagnose()
        machine = this_machine(paths.models_folder, found.devices)
        for model in models:
            try:
                made = await plan(
                    model,
                    paths,
                    engine,
                    machine,
                    context=settings.model.context,
                    gpu_layers=settings.model.gpu_layers,
                )
            except (CatalogError, ConvertError, EngineFailure, OSError) as error:
                yield model.name, str(error)
            else:
                yield model.name, made
    finally:
        await engine.close()
