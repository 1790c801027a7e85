"""What a model will take, before anything is downloaded: disk, memory, speed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from baize_convert.sources.byte_source import ByteSource
from baize_shared.private_files import private_folder
from baize_tui.catalog.fit import Fit, Machine, judge_fit, tokens_per_second
from baize_tui.catalog.pull import conversion, hub_gguf
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Recipe
from baize_tui.footprint import Measurement
from baize_tui.paths import Paths

_FIRST_HEAD = 1 << 20
_LARGEST_HEAD = 256 << 20


class Measurer(Protocol):
    """The engine, as far as it is needed here; see ``WorkerEngine``."""

    async def head_length(self, path: str) -> int: ...

    async def measure(
        self, path: str, context: int, *, gpu_layers: int | None = 0, budget: int = 0
    ) -> Measurement: ...


class Cost(Struct, frozen=True):
    """What downloading a model takes; all 0 if it is on this machine."""

    disk: int = 0
    """Bytes that will be written."""
    download: int = 0
    """Bytes that will be downloaded; those of a checkpoint are not stored."""


class ModelPlan(Struct, frozen=True):
    """What a model takes and whether it fits this machine."""

    name: str
    installed: bool
    cost: Cost
    bytes: int
    """Size of the GGUF."""
    measured: Measurement
    fit: Fit
    tokens_per_second: float | None
    enough_disk: bool
    warnings: list[str] = []


async def plan(
    model: CatalogModel,
    paths: Paths,
    engine: Measurer,
    machine: Machine,
    *,
    context: int,
    gpu_layers: int | None = None,
) -> ModelPlan:
    """Plan ``model`` with ``context`` tokens; only headers are read of one that is not downloaded.

    Raises:
        ConvertError: the hub cannot be reached, or its files cannot be used.
        CatalogError: its header cannot be read.
        EngineFailure: llama.cpp cannot run it as a model.
    """
    context = model.recipe.context or context
    async with _header_file(model, paths, engine) as (path, size, cost, warnings):
        measured = await engine.measure(
            str(path), context, gpu_layers=gpu_layers, budget=machine.budget
        )
    return ModelPlan(
        name=model.name,
        installed=model.installed,
        cost=cost,
        bytes=size,
        measured=measured,
        fit=judge_fit(measured.footprint, machine),
        tokens_per_second=tokens_per_second(measured),
        enough_disk=cost.disk <= machine.disk_free,
        warnings=warnings,
    )


@asynccontextmanager
async def _header_file(
    model: CatalogModel, paths: Paths, engine: Measurer
) -> AsyncIterator[tuple[Path, int, Cost, list[str]]]:
    """A file with the header of ``model``; the size of the GGUF, its cost, and warnings."""
    if model.path is not None:
        yield model.path, model.path.stat().st_size, Cost(), []
        return
    with tempfile.TemporaryDirectory(dir=private_folder(paths.cache), prefix="head-") as folder:
        path = Path(folder) / "head.gguf"
        if model.recipe.base is not None:
            planned = await asyncio.to_thread(conversion, model.recipe, download_weights=False)
            adapters = planned.adapters
            sources = [*planned.base.files, *(f for adapter in adapters for f in adapter.files)]
            for file in sources:
                file.close()
            _write_sparse(path, planned.layout.head, planned.layout.length)
            download = sum(len(file) for file in sources if not file.is_local)
            cost = Cost(planned.layout.length, download)
            yield path, planned.layout.length, cost, list(planned.warnings)
        else:
            size, cached = await _fetch_head(model.recipe, path, engine)
            yield path, size, Cost() if cached else Cost(size, size), []


def _write_sparse(path: Path, head: bytes, size: int) -> None:
    """Write a file of ``size`` bytes of which only the head occupies disk space."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)


async def _fetch_head(recipe: Recipe, path: Path, engine: Measurer) -> tuple[int, bool]:
    """Write the head of a GGUF on the hub to ``path``; its size, and whether it is cached."""
    gguf = await asyncio.to_thread(hub_gguf, recipe)
    source: ByteSource = await asyncio.to_thread(gguf.repository.open, gguf.file)
    try:
        head, wanted = b"", _FIRST_HEAD
        while wanted <= _LARGEST_HEAD:
            head += await asyncio.to_thread(source.read, len(head), wanted - len(head))
            _write_sparse(path, head, gguf.size)
            # The missing part reads as zeros: a header that extends into it is incomplete.
            if 0 < await engine.head_length(str(path)) <= len(head):
                return gguf.size, gguf.cached is not None
            if len(head) == gguf.size:
                break
            wanted *= 2
    finally:
        source.close()
    raise CatalogError(f"{recipe.origin} is not a GGUF file, or a damaged one")
