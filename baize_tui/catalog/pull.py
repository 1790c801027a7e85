"""Pulling a model: a GGUF is downloaded, a checkpoint is merged and quantized while it comes.

Interrupted or killed, the same pull goes on where it was. No file has its final name, and no model
is known, before it is whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from baize_convert.hub.cache import cache_weights
from baize_convert.hub.download import download
from baize_convert.hub.names import PREFIX, parse_name
from baize_convert.hub.repository import HubRepository, open_repository
from baize_convert.merge import merge
from baize_convert.opening import open_adapter
from baize_convert.output.chat_prompt import ChatPrompt
from baize_convert.plan import ConversionOptions, Plan, plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.importing import write_lora
from baize_tui.catalog.pulled import PullRecord, pulled_file, write_record
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Recipe, check_name, known_model
from baize_tui.paths import Paths, private_folder

Report = Callable[[int, int], object]
"""Hears how many bytes of how many are there."""


@dataclass(frozen=True)
class HubGguf:
    """A GGUF on the hub, before it is here."""

    repository: HubRepository
    file: str
    size: int
    sha256: str | None
    cached: Path | None
    """Where it lies in the hub's own cache already."""


def hub_gguf(recipe: Recipe) -> HubGguf:
    """The GGUF that ``recipe`` names.

    Raises:
        ConvertError: the hub does not have it, or cannot be asked.
    """
    assert recipe.repository is not None
    assert recipe.file is not None
    repository = open_repository(parse_name(recipe.repository))
    cached = repository.cached(recipe.file)
    if cached is not None:
        return HubGguf(repository, recipe.file, len(cached), cached.sha256, cached.path)
    place = repository.file(recipe.file).locate()
    return HubGguf(repository, recipe.file, place.size, place.sha256, None)


def conversion(recipe: Recipe, *, keep: bool = True) -> Plan:
    """What making the GGUF of ``recipe`` out of its checkpoint will be, from headers alone.

    With ``keep`` adapters are fetched already.

    Raises:
        ConvertError: it cannot be converted, or the hub cannot be asked.
    """
    assert recipe.base is not None
    return plan_conversion(
        _place(recipe.base),
        [open_adapter(_place(adapter), keep=keep) for adapter in recipe.adapters],
        parse_outtype(recipe.outtype),
        ConversionOptions(prompt=ChatPrompt(stop=tuple(recipe.stop), format=recipe.format)),
    )


def _place(written: str) -> str:
    return written if written.startswith(PREFIX) else str(Path(written).expanduser())


def pull(
    model: CatalogModel,
    paths: Paths,
    report: Report = lambda done, total: None,
    *,
    keep_source: bool = False,
) -> PullRecord:
    """Bring the weights of ``model`` here; ``keep_source`` keeps those of a checkpoint too, in the
    hub's own cache.

    Raises:
        CatalogError: its recipe names nothing to pull, or another pull of it is on its way.
        ConvertError: what the hub has cannot be had or used, or there is no room; what came is kept
            for the next time.
    """
    recipe = model.recipe
    if not recipe.is_on_hub:
        raise CatalogError(f"{model.name} does not come from the hub: its recipe names a file")
    private_folder(paths.models_folder)
    target = pulled_file(check_name(model.name), paths)
    with _alone(target):
        if recipe.base is None:
            record = _fetch(recipe, target, report)
        else:
            record = _convert(recipe, target, report, keep_source=keep_source)
        write_record(model.name, record, paths)
        return record


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise CatalogError(f"{target.stem} is being pulled already, by another program") from error
    try:
        yield
    finally:
        lock.release()


def _adding_up(report: Report, total: int) -> Callable[[int], None]:
    """Hears of pieces, and reports how much they are together."""
    done = 0

    def progress(size: int) -> None:
        nonlocal done
        done += size
        report(done, total)

    progress(0)
    return progress


def _fetch(recipe: Recipe, target: Path, report: Report) -> PullRecord:
    found = hub_gguf(recipe)
    path = found.cached
    if path is None:
        progress = _adding_up(report, found.size)
        path = download(found.repository.file(found.file), target, progress)
    return PullRecord(
        path=str(path),
        bytes=found.size,
        source=recipe.origin,
        commits={found.repository.name.repo: found.repository.commit},
        pulled_at=time.time(),
        sha256=found.sha256,
        license=recipe.license,
    )


def _convert(recipe: Recipe, target: Path, report: Report, *, keep_source: bool) -> PullRecord:
    assert recipe.base is not None
    if keep_source and recipe.base.startswith(PREFIX):
        files = conversion(recipe, keep=False).base.files
        cache_weights(parse_name(recipe.base), _adding_up(report, sum(map(len, files))))
        for file in files:
            file.close()
    plan = conversion(recipe)
    total = sum(placed.bytes for placed in plan.layout.tensors)
    merge(plan, target, progress=_adding_up(report, total))
    commits = {plan.base.name: plan.base.commit} if plan.base.name and plan.base.commit else {}
    for name, adapter in zip(recipe.adapters, plan.adapters, strict=True):
        if adapter.commit is not None and name.startswith(PREFIX):
            commits[parse_name(name).repo] = adapter.commit
    return PullRecord(
        path=str(target),
        bytes=plan.layout.length,
        source=recipe.origin,
        commits=commits,
        pulled_at=time.time(),
        outtype=plan.outtype.name,
        license=recipe.license,
    )


def pull_adapter(adapter: CatalogAdapter, paths: Paths) -> CatalogAdapter:
    """Bring an adapter here, as a GGUF LoRA for its base.

    Raises:
        CatalogError: its recipe names nothing to pull, or its base is not here yet.
        ConvertError: what the hub has cannot be had, or is not of that base.
    """
    recipe = adapter.recipe
    if recipe.adapter is None or recipe.base is None:
        raise CatalogError(f"{adapter.name} does not come from the hub: its recipe names a file")
    base = known_model(recipe.base, paths)
    path = write_lora(recipe.adapter, check_name(adapter.name), base, paths)
    return CatalogAdapter(adapter.name, path, recipe)
