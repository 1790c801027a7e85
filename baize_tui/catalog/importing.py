"""Giving a local file a name: a GGUF model, a GGUF LoRA, or an adapter's folder."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from baize_shared.atomic_files import replace_when_complete
from baize_shared.private_files import private_folder
from baize_shared.user_paths import expand_user
from baize_tui.catalog.adapters import (
    AdapterRecipe,
    CatalogAdapter,
    adapter_file,
    find_adapter,
    known_adapters,
    write_adapter_recipe,
)
from baize_tui.catalog.fit import this_machine
from baize_tui.catalog.pull_records import model_file
from baize_tui.catalog.recipes import (
    CatalogError,
    CatalogModel,
    Recipe,
    check_name,
    find_model,
    known_models,
    write_recipe,
)
from baize_tui.paths import Paths


class Header(Protocol):
    """The header of a GGUF file, as far as it is needed here."""

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


class ImportOptions(msgspec.Struct, frozen=True):
    """How to import a file."""

    name: str | None = None
    """Its name in the catalog; None takes the file's name."""
    copy: bool = False
    """Copy the file instead of linking to it."""
    format: str | None = None
    """Prompt format; None takes the file's own."""
    base: str | None = None
    """The model that an adapter is for."""
    over: str | None = None
    """The adapter that an adapter was trained on top of."""


async def import_file(
    file: Path, options: ImportOptions, paths: Paths, engine: FileChecker
) -> CatalogModel | CatalogAdapter:
    """Add ``file`` to the catalog; a model first has to compute a token.

    Raises:
        CatalogError: its name is taken or invalid, it cannot be copied, or its base is missing.
        ConvertError: the folder is not an adapter for that base.
        EngineFailure: it is not a GGUF, or llama.cpp cannot run the model, or the adapter does not
            fit the base.
    """
    file = expand_user(file).absolute()
    stem = file.name if file.is_dir() else file.stem
    name = check_name(options.name or re.sub(r"[^a-z0-9.]+", "-", stem.lower()).strip("-."))
    base = find_model(options.base, paths) if options.base is not None else None
    if options.over is not None:
        find_adapter(options.over, paths)
    if file.is_dir():
        if base is None:
            raise CatalogError(
                f"{file} is a folder: name the model that the adapter is for with --base"
            )
        _check_name_is_free(name, paths)
        lora = await asyncio.to_thread(write_lora, file, name, base, paths)
        return _add_adapter(name, lora, stem, "", base, options, paths)
    header = await engine.inspect(str(file))
    is_adapter = header.metadata.get("general.type") == "adapter"
    _check_name_is_free(name, paths)
    if is_adapter and base is not None:
        await engine.check_adapter(str(file), str(base.path))
    # A model that is too large for this machine may be for another one that shares the folder.
    if not is_adapter and file.stat().st_size < this_machine(paths.models_folder).memory_free:
        await engine.try_model(str(file))
    if options.copy:
        target = adapter_file(name, paths) if is_adapter else model_file(name, paths)
        file = await asyncio.to_thread(_copy, file, target, paths)
    if is_adapter:
        return _add_adapter(name, file, header.name, header.license, base, options, paths)
    recipe = Recipe(
        file=str(file), title=header.name, license=header.license, format=options.format
    )
    write_recipe(name, recipe, paths)
    return CatalogModel(name, file, recipe)


def write_lora(adapter: Path | str, name: str, base: CatalogModel, paths: Paths) -> Path:
    """Convert an adapter that PEFT saved, in a folder or on the hub, to a GGUF LoRA for ``base``.

    Raises:
        ConvertError: it is not an adapter, or not for this base.
        CatalogError: the base is not downloaded.
    """
    from baize_convert.opening import open_adapter, open_base
    from baize_convert.output.adapter_file import write_adapter

    if base.path is None:
        raise CatalogError(
            f"{name} is for {base.name}, which is not downloaded yet: pull that first"
        )
    opened = open_adapter(adapter)
    private_folder(paths.models_folder)
    private_folder(paths.adapters_folder)
    target = adapter_file(name, paths)
    write_adapter(open_base(base.path), opened, target)
    return target


def _add_adapter(
    name: str,
    file: Path,
    title: str,
    license: str,
    base: CatalogModel | None,
    options: ImportOptions,
    paths: Paths,
) -> CatalogAdapter:
    recipe = AdapterRecipe(
        title=title,
        license=license,
        file=str(file),
        base=base.name if base is not None else None,
        over=options.over,
        format=options.format,
    )
    write_adapter_recipe(name, recipe, paths)
    return CatalogAdapter(name, file, recipe)


def _check_name_is_free(name: str, paths: Paths) -> None:
    """Models and adapters share their names, so that a command can take either."""
    models, adapters = known_models(paths), known_adapters(paths)
    if name in {*(model.name for model in models), *(adapter.name for adapter in adapters)}:
        raise CatalogError(f"{name} exists already; choose another name with --name")


def _copy(source: Path, target: Path, paths: Paths) -> Path:
    private_folder(paths.models_folder)
    private_folder(target.parent)
    try:
        with replace_when_complete(target) as partial:
            shutil.copyfile(source, partial)
    except OSError as error:
        raise CatalogError(f"{target}: {error.strerror}") from error
    return target
