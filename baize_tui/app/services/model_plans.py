"""Plans of models and adapters, one after the other, measured by an engine of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from msgspec import Struct

from baize_convert.failures import ConvertError
from baize_tui.catalog.adapter_plan import plan_adapter
from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.planner import plan
from baize_tui.catalog.plans import Plan
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.engine.client import EngineFailure, WorkerEngine
from baize_tui.paths import Paths
from baize_tui.settings import Settings


class PlanFailure(Struct, frozen=True):
    """Model or adapter ``name`` cannot be measured; ``reason`` is one line."""

    name: str
    reason: str


async def plan_models(
    entries: Sequence[CatalogModel | CatalogAdapter], paths: Paths, settings: Settings
) -> AsyncGenerator[Plan | PlanFailure, None]:
    """The plan of each of ``entries``, or why there is none."""
    if not entries:
        return
    engine = WorkerEngine(paths)
    try:
        for entry in entries:
            try:
                if isinstance(entry, CatalogAdapter):
                    planned: Plan = await asyncio.to_thread(plan_adapter, entry, paths)
                else:
                    planned = await plan(entry, paths, engine, settings.model)
            except (CatalogError, ConvertError, EngineFailure, OSError) as error:
                yield PlanFailure(entry.name, str(error))
            else:
                yield planned
    finally:
        await engine.close()
