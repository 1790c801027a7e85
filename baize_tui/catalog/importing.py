"""Giving a local file a name: a GGUF model, a GGUF LoRA, or an adapter's folder."""

from __future__ import annotations

import asyncio
import filecmp
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from baize_convert.hub.names import HUB_PREFIX
from baize_convert.lora.adapter_folders import list_configs
from baize_shared.atomic_files import replace_when_complete
from baize_shared.private_files import private_folder
from baize_shared.sanitizer import clean_line
from baize_shared.split_files import model_files, model_stem
from baize_shared.user_paths import expand_user
from baize_tui.catalog.adapters import (
    AdapterRecipe,
    CatalogAdapter,
    adapter_file,
    find_adapter,
    known_adapters,
    write_adapter_recipe,
)
from baize_tui.catalog.default_model import default_or_none, remember_default
from baize_tui.catalog.finding import find_model, known_models, local_file
from baize_tui.catalog.fit import this_machine
from baize_tui.catalog.pull_records import model_file
from baize_tui.catalog.recipes import (
    MODEL_SUFFIX,
    CatalogError,
    CatalogModel,
    Recipe,
    check_name,
    write_recipe,
)
from baize_tui.paths import Paths
from baize_tui.shared_texts import file_error
from baize_tui.translation import msg, tr

_TRIAL_CONTEXT = 256


class Header(Protocol):
    """The header of a GGUF file, as far as it is needed here."""

    @property
    def name(self) -> str: ...
    @property
    def license(self) -> str: ...
    @property
    def file_bytes(self) -> int: ...
    @property
    def metadata(self) -> Mapping[str, str]: ...
    @property
    def problem(self) -> str: ...


ON_HUB = msg("{name} is on the hub: 'baize-tui models pull' downloads it")
CHECKPOINT = msg(
    "{folder} is a checkpoint: 'baize-convert merge FOLDER --output MODEL.gguf' makes a GGUF file "
    "of it to import"
)
GIVE_THE_FILE = msg(
    "{folder} is a folder without an adapter_config.json: give the file, such as {file}"
)
NEEDS_BASE = msg("{folder} is a folder: name the model that the adapter is for with --base")


class FileChecker(Protocol):
    """The engine, as far as it is needed here."""

    async def inspect(self, path: str) -> Header: ...

    async def check_adapter(self, path: str, base: str) -> None: ...

    async def try_model(self, path: str) -> None: ...

    async def measure(self, path: str, context: int) -> object: ...


class ImportOptions(Struct, frozen=True):
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


class Importable(Struct, frozen=True):
    """A file or folder that can be imported; a model was not tried yet."""

    path: Path
    kind: Literal["model", "adapter", "adapter folder"]
    name: str
    """The name that it gets unless the person chooses another one."""
    title: str = ""
    license: str = ""
    bytes: int = 0
    """Size of its files; 0 for a folder."""


async def examine_file(path: Path, engine: FileChecker) -> Importable:
    """What is at ``path``, from headers alone.

    Raises:
        CatalogError: it does not exist, or is neither a chat model nor an adapter; the message says
            what it is.
        EngineFailure: it is not a GGUF file, or a damaged one.
    """
    if str(path).startswith(HUB_PREFIX):
        raise CatalogError(tr(ON_HUB, name=clean_line(str(path))))
    path = expand_user(path).absolute()
    if not path.exists():
        raise CatalogError(tr("{path}: no such file or folder", path=path))
    stem = path.name if path.is_dir() else model_stem(path)
    name = re.sub(r"[^a-z0-9.]+", "-", stem.lower()).strip("-.") or "model"
    if path.is_dir():
        _check_adapter_folder(path)
        return Importable(path, "adapter folder", name, title=stem)
    header = await engine.inspect(str(path))
    is_adapter = header.metadata.get("general.type") == "adapter"
    if header.problem and not is_adapter:
        raise CatalogError(header.problem)
    if is_adapter and (type := header.metadata.get("adapter.type", "lora")) != "lora":
        raise CatalogError(
            tr(
                "{path} is an adapter of the type {type}: only LoRA can be used",
                path=path,
                type=type,
            )
        )
    return Importable(
        path=path,
        kind="adapter" if is_adapter else "model",
        name=name,
        title=header.name,
        license=header.license,
        bytes=header.file_bytes,
    )


def _check_adapter_folder(folder: Path) -> None:
    if list_configs(folder):
        return
    if (folder / "config.json").is_file():
        raise CatalogError(tr(CHECKPOINT, folder=folder))
    models = sorted(file.name for file in folder.glob(f"*{MODEL_SUFFIX}") if file.is_file())
    if models:
        raise CatalogError(tr(GIVE_THE_FILE, folder=folder, file=folder / models[0]))
    raise CatalogError(tr("{folder} is a folder without an adapter_config.json", folder=folder))


async def import_file(
    file: Path, options: ImportOptions, paths: Paths, engine: FileChecker
) -> CatalogModel | CatalogAdapter:
    """Add ``file`` to the catalog; a model first has to compute a token.

    What an earlier import of the same file made, which may have been killed, is made anew.

    Raises:
        CatalogError: see ``examine_file``; its name is taken or invalid, it cannot be copied, or
            its base is missing.
        ConvertError: the folder is not an adapter for that base.
        EngineFailure: it is not a GGUF, or llama.cpp cannot run the model, or the adapter does not
            fit the base.
    """
    found = await examine_file(file, engine)
    name = check_name(options.name or found.name)
    base = find_model(options.base, paths) if options.base is not None else None
    if options.over is not None:
        find_adapter(options.over, paths)
    if found.kind == "adapter folder" and base is None:
        raise CatalogError(tr(NEEDS_BASE, folder=found.path))
    if not await asyncio.to_thread(_is_imported, name, found, options, paths):
        check_name_is_free(name, paths)
    if found.kind == "model":
        return await _import_model(found, name, options, paths, engine)
    if found.kind == "adapter":
        if base is not None:
            await engine.check_adapter(str(found.path), str(local_file(base)))
        file = found.path
        if options.copy:
            file = await asyncio.to_thread(_copy, file, adapter_file(name, paths), paths)
        return _add_adapter(name, file, found, base, options, paths)
    assert base is not None
    lora = await asyncio.to_thread(write_lora, found.path, name, base, paths)
    return _add_adapter(name, lora, found, base, options, paths)


def _is_imported(name: str, found: Importable, options: ImportOptions, paths: Paths) -> bool:
    """Whether this import has made what is called ``name``: of the same file, in the same way."""
    entries: Sequence[CatalogModel | CatalogAdapter]
    if found.kind == "model":
        entries, target = known_models(paths), _model_target(name, found.path, paths)
    else:
        entries, target = known_adapters(paths), adapter_file(name, paths)
    entry = next((entry for entry in entries if entry.name == name), None)
    if entry is None or entry.path is None or entry.recipe.format != options.format:
        return False
    if isinstance(entry, CatalogAdapter):
        if (entry.recipe.base, entry.recipe.over) != (options.base, options.over):
            return False
    elif entry.recipe.package is not None:
        return False
    if found.kind == "adapter folder":
        base = find_model(options.base, paths)
        return entry.recipe.file == str(target) and _is_converted(found.path, base, target)
    if not options.copy:
        return entry.recipe.file == str(found.path)
    return entry.recipe.file == str(target) and _have_same_content(found.path, target)


def _is_converted(folder: Path, base: CatalogModel, lora: Path) -> bool:
    """Whether ``lora`` is what ``folder`` is converted to."""
    with tempfile.TemporaryDirectory() as temporary:
        again = Path(temporary) / lora.name
        _convert_lora(folder, base, again)
        return filecmp.cmp(again, lora, shallow=False)


def _model_target(name: str, file: Path, paths: Paths) -> Path:
    """Where a copy of the model ``file`` is, or the first part of it."""
    return model_file(name, paths, len(model_files(file)))


def _have_same_content(source: Path, copy: Path) -> bool:
    """Whether all files of a model, or an adapter, have the same bytes."""
    pairs = zip(model_files(source), model_files(copy), strict=True)
    try:
        return all(filecmp.cmp(one, other, shallow=False) for one, other in pairs)
    except (OSError, ValueError):  # one is missing, or they are in other parts
        return False


async def _import_model(
    found: Importable, name: str, options: ImportOptions, paths: Paths, engine: FileChecker
) -> CatalogModel:
    file = found.path
    if found.bytes < this_machine(paths.models_folder).memory_free:
        await engine.try_model(str(file))
    else:  # it may be for another machine that shares the folder
        await engine.measure(str(file), _TRIAL_CONTEXT)
    if options.copy:
        target = _model_target(name, file, paths)
        file = await asyncio.to_thread(_copy, file, target, paths)
    recipe = Recipe(file=str(file), title=found.title, license=found.license, format=options.format)
    model = CatalogModel(name, file, recipe)
    default = default_or_none(None, paths)
    write_recipe(name, recipe, paths)
    remember_default(default or model, paths)
    return model


def write_lora(adapter: Path | str, name: str, base: CatalogModel, paths: Paths) -> Path:
    """Convert an adapter that PEFT saved, in a folder or on the hub, to a GGUF LoRA for ``base``.

    Raises:
        ConvertError: it is not an adapter, or not for this base.
        CatalogError: the base is not on this machine.
    """
    private_folder(paths.models_folder)
    private_folder(paths.adapters_folder)
    target = adapter_file(name, paths)
    _convert_lora(adapter, base, target)
    return target


def _convert_lora(adapter: Path | str, base: CatalogModel, target: Path) -> None:
    from baize_convert.opening import open_adapter, open_base
    from baize_convert.output.adapter_file import write_adapter

    base_file = local_file(base)
    opened = open_adapter(adapter)
    write_adapter(open_base(base_file), opened, target)


def _add_adapter(
    name: str,
    file: Path,
    found: Importable,
    base: CatalogModel | None,
    options: ImportOptions,
    paths: Paths,
) -> CatalogAdapter:
    recipe = AdapterRecipe(
        title=found.title,
        license=found.license,
        file=str(file),
        base=base.name if base is not None else None,
        over=options.over,
        format=options.format,
    )
    write_adapter_recipe(name, recipe, paths)
    return CatalogAdapter(name, file, recipe)


def check_name_is_free(name: str, paths: Paths) -> None:
    """Models and adapters share their names, so that a command can take either.

    Raises:
        CatalogError: a model or an adapter has this name.
    """
    models, adapters = known_models(paths), known_adapters(paths)
    if name in {*(model.name for model in models), *(adapter.name for adapter in adapters)}:
        raise CatalogError(tr("{name} exists already; choose another name with --name", name=name))


def _copy(source: Path, target: Path, paths: Paths) -> Path:
    """Copy all files of a model, or an adapter; ``target`` is the first of the copies."""
    private_folder(paths.models_folder)
    private_folder(target.parent)
    try:
        # Backwards: what has the name of the first is complete.
        for file, copy in reversed([*zip(model_files(source), model_files(target), strict=True)]):
            with replace_when_complete(copy) as partial:
                shutil.copyfile(file, partial)
    except OSError as error:
        raise CatalogError(file_error(target, error)) from error
    return target
