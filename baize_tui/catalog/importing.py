"""Making a file of one's own known by a name: a GGUF model, a GGUF LoRA, or an adapter's folder."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from baize_shared.atomic_files import replace_when_complete
from baize_tui.catalog.adapters import (
    AdapterRecipe,
    CatalogAdapter,
    adapter_file,
    find_adapter,
    known_adapters,
    write_adapter_recipe,
)
from baize_tui.catalog.fit import this_machine
from baize_tui.catalog.pulled import pulled_file
from baize_tui.catalog.recipes import (
    CatalogError,
    CatalogModel,
    Recipe,
    check_name,
    find_model,
    known_models,
    write_recipe,
)
from baize_tui.paths import Paths, private_folder


class Header(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def license(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, str]: ...


class FileChecker(Protocol):
    """The engine, as far as it is needed here."""

    async def inspect(self, path: str) -> Header: ...

    async def check_adapter(self, path: str, base: str) -> None: ...

    async def try_model(self, path: str) -> None: ...


class Wish(msgspec.Struct, frozen=True):
    """How a file is to be imported."""

    name: str | None = None
    """What it is called; None takes the file's name."""
    copy: bool = False
    """Copy it; else it is used where it lies."""
    format: str | None = None
    base: str | None = None
    """The model that an adapter is for."""
    over: str | None = None
    """The adapter that it was trained over."""


async def import_file(
    file: Path, wish: Wish, paths: Paths, engine: FileChecker
) -> CatalogModel | CatalogAdapter:
    """Make ``file`` known, once a model has computed a first token.

    Raises:
        CatalogError: its name is taken or none, it cannot be copied, or its base is missing.
        ConvertError: a folder that is no adapter of that base.
        EngineFailure: it is no GGUF, a model that llama.cpp cannot run, or an adapter that does not
            fit the base.
    """
    file = file.expanduser().absolute()
    stem = file.name if file.is_dir() else file.stem
    name = check_name(wish.name or re.sub(r"[^a-z0-9.]+", "-", stem.lower()).strip("-."))
    base = find_model(wish.base, paths) if wish.base is not None else None
    if wish.over is not None:
        find_adapter(wish.over, paths)
    if file.is_dir():
        if base is None:
            raise CatalogError(f"{file} is a folder: say which model it is an adapter of, --base")
        _refuse_known(name, paths)
        lora = await asyncio.to_thread(write_lora, file, name, base, paths)
        return _known_adapter(name, lora, stem, "", base, wish, paths)
    header = await engine.inspect(str(file))
    is_adapter = header.metadata.get("general.type") == "adapter"
    _refuse_known(name, paths)
    if is_adapter and base is not None:
        await engine.check_adapter(str(file), str(base.path))
    # One that is too large for this machine may be for another that shares the folder.
    if not is_adapter and file.stat().st_size < this_machine(paths.models_folder).memory_free:
        await engine.try_model(str(file))
    if wish.copy:
        target = adapter_file(name, paths) if is_adapter else pulled_file(name, paths)
        file = await asyncio.to_thread(_copied, file, target, paths)
    if is_adapter:
        return _known_adapter(name, file, header.name, header.license, base, wish, paths)
    recipe = Recipe(file=str(file), title=header.name, license=header.license, format=wish.format)
    write_recipe(name, recipe, paths)
    return CatalogModel(name, file, recipe)


def write_lora(adapter: Path | str, name: str, base: CatalogModel, paths: Paths) -> Path:
    """Make a GGUF LoRA of an adapter that PEFT saved, in a folder or on the hub, for ``base``.

    Raises:
        ConvertError: it is none, or not of this base.
        CatalogError: the base is not here.
    """
    from baize_convert.opening import open_adapter, open_base
    from baize_convert.output.adapter_file import write_adapter

    if base.path is None:
        raise CatalogError(
            f"{name} is laid over {base.name}, which is not here yet: pull that first"
        )
    opened = open_adapter(adapter)
    private_folder(paths.models_folder)
    private_folder(paths.adapters_folder)
    target = adapter_file(name, paths)
    write_adapter(open_base(base.path), opened, target)
    return target


def _known_adapter(
    name: str,
    file: Path,
    title: str,
    license: str,
    base: CatalogModel | None,
    wish: Wish,
    paths: Paths,
) -> CatalogAdapter:
    recipe = AdapterRecipe(
        title=title,
        license=license,
        file=str(file),
        base=base.name if base is not None else None,
        over=wish.over,
        format=wish.format,
    )
    write_adapter_recipe(name, recipe, paths)
    return CatalogAdapter(name, file, recipe)


def _refuse_known(name: str, paths: Paths) -> None:
    """A name is one thing's: commands that take either would not know which is meant."""
    models, adapters = known_models(paths), known_adapters(paths)
    if name in {*(one.name for one in models), *(one.name for one in adapters)}:
        raise CatalogError(f"{name} is there already; choose another name with --name")


def _copied(source: Path, target: Path, paths: Paths) -> Path:
    private_folder(paths.models_folder)
    private_folder(target.parent)
    try:
        with replace_when_complete(target) as partial:
            shutil.copyfile(source, partial)
    except OSError as error:
        raise CatalogError(f"{target}: {error.strerror}") from error
    return target
