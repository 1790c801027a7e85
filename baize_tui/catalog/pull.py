"""Pulling a model: a GGUF is downloaded; a checkpoint is merged and quantized during the download.

An interrupted or killed pull resumes when it is repeated. No file gets its final name, and no model
enters the catalog, before it is complete.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from baize_convert.hub.cache import cache_weights
from baize_convert.hub.download import download
from baize_convert.hub.names import HUB_PREFIX, parse_name
from baize_convert.hub.repository import HubRepository, open_repository
from baize_convert.merge import merge
from baize_convert.opening import open_adapter
from baize_convert.output.chat_prompt import ChatPrompt
from baize_convert.plan import ConversionOptions, Plan, plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_shared.atomic_files import replace_when_complete
from baize_shared.private_files import private_folder
from baize_shared.split_files import model_files
from baize_shared.user_paths import expand_user
from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.default_model import default_or_none, remember_default
from baize_tui.catalog.finding import known_model
from baize_tui.catalog.importing import write_lora
from baize_tui.catalog.pull_records import PullRecord, model_file, write_record
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Recipe, check_name
from baize_tui.paths import Paths
from baize_tui.shared_texts import file_error
from baize_tui.translation import msg, tr

Report = Callable[[int, int], object]
"""Receives how many bytes are done, and of how many."""


@dataclass(frozen=True)
class HubGgufFile:
    """A file of a model on the hub."""

    name: str
    size: int
    sha256: str | None
    cached: Path | None
    """Where the hub's own cache has it, if it has."""


@dataclass(frozen=True)
class HubGguf:
    """A GGUF on the hub, which may be in several files."""

    repository: HubRepository
    files: tuple[HubGgufFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def cached(self) -> Path | None:
        """The first file in the hub's own cache, if that has all of them."""
        return self.files[0].cached if all(file.cached for file in self.files) else None


NOT_ON_HUB = msg("{name} is not on the hub: its recipe names a local file")


def hub_gguf(recipe: Recipe) -> HubGguf:
    """The GGUF that ``recipe`` names.

    Raises:
        ConvertError: the hub does not have it, or cannot be reached.
    """
    assert recipe.repository is not None
    assert recipe.file is not None
    repository = open_repository(parse_name(recipe.repository))
    names = (file.as_posix() for file in model_files(Path(recipe.file)))
    return HubGguf(repository, tuple(_hub_file(repository, name) for name in names))


def _hub_file(repository: HubRepository, name: str) -> HubGgufFile:
    cached = repository.cached(name)
    if cached is not None:
        return HubGgufFile(name, len(cached), cached.sha256, cached.path)
    place = repository.file(name).locate()
    return HubGgufFile(name, place.size, place.sha256, None)


def conversion(recipe: Recipe, *, download_weights: bool = True) -> Plan:
    """Plan the conversion of the checkpoint of ``recipe``, from headers alone.

    With ``download_weights``, the weights of adapters are downloaded first.

    Raises:
        ConvertError: it cannot be converted, or the hub cannot be reached.
    """
    assert recipe.base is not None
    return plan_conversion(
        expand_source(recipe.base),
        [
            open_adapter(expand_source(adapter), download_weights=download_weights)
            for adapter in recipe.adapters
        ],
        parse_outtype(recipe.outtype),
        ConversionOptions(prompt=ChatPrompt(stop=tuple(recipe.stop), format=recipe.format)),
    )


def expand_source(source: str) -> str:
    """A folder in a recipe with its ``~`` replaced; what is on the hub stays as it is."""
    return source if source.startswith(HUB_PREFIX) else str(expand_user(source))


def pull(
    model: CatalogModel,
    paths: Paths,
    report: Report = lambda done, total: None,
    *,
    keep_source: bool = False,
) -> PullRecord:
    """Download the weights of ``model``.

    ``keep_source`` also stores those of a checkpoint, in the hub's own cache.

    Raises:
        CatalogError: its recipe has nothing to pull, or another program is pulling it.
        ConvertError: the download or the conversion failed, or the disk is full; what was
            downloaded is kept for the next attempt.
    """
    recipe = model.recipe
    if not recipe.is_on_hub:
        raise CatalogError(tr(NOT_ON_HUB, name=model.name))
    private_folder(paths.models_folder)
    target = model_file(check_name(model.name), paths)
    with _exclusive(target):
        if recipe.base is None:
            record = _fetch(model, paths, report)
        else:
            record = _convert(recipe, target, report, keep_source=keep_source)
        default = default_or_none(None, paths)
        write_record(model.name, record, paths)
        pulled = CatalogModel(model.name, Path(record.path), recipe)
        remember_default(default or pulled, paths)
        return record


@contextmanager
def _exclusive(target: Path) -> Iterator[None]:
    lock = FileLock(target.with_name(f"{target.name}.lock"), mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise CatalogError(
            tr("another program is already pulling {name}", name=target.stem)
        ) from error
    try:
        yield
    finally:
        lock.release()


def _accumulate(report: Report, total: int) -> Callable[[int], None]:
    """A function that takes the sizes of pieces and reports their sum."""
    done = 0

    def progress(size: int) -> None:
        nonlocal done
        done += size
        report(done, total)

    progress(0)
    return progress


def _fetch(model: CatalogModel, paths: Paths, report: Report) -> PullRecord:
    recipe, gguf = model.recipe, hub_gguf(model.recipe)
    path = gguf.cached
    if path is None:
        path = model_file(model.name, paths, len(gguf.files))
        progress = _accumulate(report, gguf.size)
        # Backwards: what has the name of the first is complete.
        for file, target in reversed([*zip(gguf.files, model_files(path), strict=True)]):
            if file.cached is not None:
                _copy(file.cached, target, progress)
            else:
                download(gguf.repository.file(file.name), target, progress)
    return PullRecord(
        path=str(path),
        bytes=gguf.size,
        source=recipe.origin,
        commits={gguf.repository.name.repo: gguf.repository.commit},
        pulled_at=time.time(),
        sha256=gguf.files[0].sha256 if len(gguf.files) == 1 else None,
        license=recipe.license,
    )


def _copy(source: Path, target: Path, progress: Callable[[int], None]) -> None:
    """Copy a file from the hub's cache; the other files of its model are not there."""
    try:
        with replace_when_complete(target) as partial:
            shutil.copyfile(source, partial)
    except OSError as error:
        raise CatalogError(file_error(target, error)) from error
    progress(target.stat().st_size)


def _convert(recipe: Recipe, target: Path, report: Report, *, keep_source: bool) -> PullRecord:
    assert recipe.base is not None
    if keep_source and recipe.base.startswith(HUB_PREFIX):
        files = conversion(recipe, download_weights=False).base.files
        cache_weights(parse_name(recipe.base), _accumulate(report, sum(map(len, files))))
        for file in files:
            file.close()
    plan = conversion(recipe)
    total = sum(tensor.bytes for tensor in plan.layout.tensors)
    merge(plan, target, progress=_accumulate(report, total))
    commits = {plan.base.name: plan.base.commit} if plan.base.name and plan.base.commit else {}
    for name, adapter in zip(recipe.adapters, plan.adapters, strict=True):
        if adapter.commit is not None and name.startswith(HUB_PREFIX):
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
    """Download an adapter and convert it to a GGUF LoRA for its base.

    Raises:
        CatalogError: its recipe has nothing to pull, or its base is not downloaded.
        ConvertError: the download failed, or the adapter is not for that base.
    """
    recipe = adapter.recipe
    if recipe.adapter is None or recipe.base is None:
        raise CatalogError(tr(NOT_ON_HUB, name=adapter.name))
    base = known_model(recipe.base, paths)
    path = write_lora(recipe.adapter, check_name(adapter.name), base, paths)
    return CatalogAdapter(adapter.name, path, recipe)
