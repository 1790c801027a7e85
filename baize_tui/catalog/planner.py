"""What a model will take, before anything is downloaded: disk, memory, speed."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

import msgspec
from msgspec import Struct

from baize_convert.sources.byte_source import ByteSource
from baize_shared.one_line_error import OneLineError
from baize_shared.private_files import private_folder
from baize_shared.split_files import model_bytes
from baize_tui.catalog.draft_models import find_draft
from baize_tui.catalog.finding import find_model, why_missing
from baize_tui.catalog.fit import judge_fit, this_machine, tokens_per_second
from baize_tui.catalog.plans import Cost, ModelPlan
from baize_tui.catalog.pull import conversion, hub_gguf
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Recipe
from baize_tui.footprint import Device, Measurement, beside
from baize_tui.paths import Paths
from baize_tui.settings import KvType, ModelSettings
from baize_tui.shared_texts import file_error
from baize_tui.translation import tr

_FIRST_HEAD = 1 << 20
_LARGEST_HEAD = 256 << 20
_MAGIC = b"GGUF"


class Header(Protocol):
    """The header of a GGUF file, as far as it is needed here."""

    @property
    def license(self) -> str: ...
    @property
    def problem(self) -> str: ...


class Diagnosed(Protocol):
    """What llama.cpp is on this machine, as far as it is needed here."""

    @property
    def devices(self) -> list[Device]: ...


class Measurer(Protocol):
    """The engine, as far as it is needed here; see ``WorkerEngine``."""

    async def head_length(self, path: str) -> int: ...

    async def inspect(self, path: str) -> Header: ...

    async def measure(
        self,
        path: str,
        context: int,
        *,
        gpu_layers: int | None = 0,
        budget: int = 0,
        kv_type: KvType = "f16",
    ) -> Measurement: ...

    async def diagnose(self) -> Diagnosed: ...


async def plan(
    model: CatalogModel, paths: Paths, engine: Measurer, settings: ModelSettings
) -> ModelPlan:
    """Plan ``model`` on this machine; only headers are read of one that is not downloaded.

    Raises:
        ConvertError: the hub cannot be reached, or its files cannot be used.
        CatalogError: its header cannot be read, its file is gone, or it cannot chat.
        EngineFailure: llama.cpp cannot run it as a model.
    """
    async with _open_head(model, paths, engine) as head:
        header = await engine.inspect(str(head.path))
        if header.problem:
            name = str(model.path or model.recipe.origin)
            raise CatalogError(header.problem.replace(str(head.path), name))
        machine = this_machine(paths.models_folder, (await engine.diagnose()).devices)
        measured = await _measure(engine, head.path, model, paths, settings, machine.budget)
    return ModelPlan(
        name=model.name,
        installed=model.installed,
        license=model.recipe.license or header.license,
        cost=head.cost,
        bytes=head.bytes,
        measured=measured,
        fit=judge_fit(measured.footprint, machine),
        tokens_per_second=tokens_per_second(measured),
        enough_disk=head.cost.disk <= machine.disk_free,
        warnings=head.warnings,
    )


async def _measure(
    engine: Measurer,
    head: Path,
    model: CatalogModel,
    paths: Paths,
    settings: ModelSettings,
    budget: int,
) -> Measurement:
    """What ``model`` takes, with its draft model if that is on this machine."""
    context = model.recipe.context or settings.context
    draft = None
    with contextlib.suppress(CatalogError):  # it is not used then
        draft = find_draft(model, settings.draft, lambda name: find_model(name, paths))
    beside_it = None
    if draft is not None:
        with contextlib.suppress(OneLineError):  # as above
            beside_it = await engine.measure(str(draft), context, kv_type=settings.kv_type)
            budget = max(0, budget - beside_it.footprint.needed)
    measured = await engine.measure(
        str(head),
        context,
        gpu_layers=settings.gpu_layers,
        budget=budget,
        kv_type=settings.kv_type,
    )
    if beside_it is None:
        return measured
    footprint = beside(measured.footprint, beside_it.footprint)
    return msgspec.structs.replace(measured, footprint=footprint)


class _Head(Struct, frozen=True):
    """A file with the header of a model; it has the model's size, but its weights may be a hole."""

    path: Path
    bytes: int
    cost: Cost = Cost()
    warnings: list[str] = []


@asynccontextmanager
async def _open_head(model: CatalogModel, paths: Paths, engine: Measurer) -> AsyncIterator[_Head]:
    if model.path is not None:
        try:
            size = model_bytes(model.path)
        except OSError as error:  # removed since the models were listed
            raise CatalogError(file_error(error.filename, error)) from error
        yield _Head(model.path, size)
        return
    if not model.recipe.is_on_hub:
        raise CatalogError(why_missing(model))
    with tempfile.TemporaryDirectory(dir=private_folder(paths.cache), prefix="head-") as folder:
        if model.recipe.base is not None:
            yield await _plan_conversion(model.recipe, Path(folder) / "head.gguf")
        else:
            yield await _fetch_heads(model.recipe, Path(folder), engine)


async def _plan_conversion(recipe: Recipe, path: Path) -> _Head:
    """Write the head of what a checkpoint is converted to to ``path``."""
    planned = await asyncio.to_thread(conversion, recipe, download_weights=False)
    sources = [*planned.base.files, *(file for a in planned.adapters for file in a.files)]
    for file in sources:
        file.close()
    _write_sparse(path, planned.layout.head, planned.layout.length)
    download = sum(len(file) for file in sources if not file.is_local)
    cost = Cost(planned.layout.length, download)
    return _Head(path, planned.layout.length, cost, list(planned.warnings))


def _write_sparse(path: Path, head: bytes, size: int) -> None:
    """Write a file of ``size`` bytes of which only the head occupies disk space."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)


async def _fetch_heads(recipe: Recipe, folder: Path, engine: Measurer) -> _Head:
    """Write the heads of all files of a GGUF on the hub to ``folder``."""
    gguf = await asyncio.to_thread(hub_gguf, recipe)
    paths = [folder / PurePosixPath(file.name).name for file in gguf.files]
    for file, path in zip(gguf.files, paths, strict=True):
        source: ByteSource = await asyncio.to_thread(gguf.repository.open, file.name)
        try:
            if not await _fetch_head(source, file.size, path, engine):
                name = f"{recipe.repository}/{file.name}"
                raise CatalogError(tr("{file} is not a GGUF file, or a damaged one", file=name))
        finally:
            source.close()
    download = 0 if gguf.cached else sum(file.size for file in gguf.files if not file.cached)
    disk = 0 if gguf.cached else gguf.size
    return _Head(paths[0], gguf.size, Cost(disk, download))


async def _fetch_head(source: ByteSource, size: int, path: Path, engine: Measurer) -> bool:
    """Write the head of a file of ``size`` bytes to ``path``; False if it has none."""
    head, wanted = b"", _FIRST_HEAD
    while wanted <= _LARGEST_HEAD:
        head += await asyncio.to_thread(source.read, len(head), wanted - len(head))
        if not head.startswith(_MAGIC):
            return False
        _write_sparse(path, head, size)
        # The missing part reads as zeros: a header that extends into it is incomplete.
        if 0 < await engine.head_length(str(path)) <= len(head):
            return True
        if len(head) == size:
            return False
        wanted *= 2
    return False
