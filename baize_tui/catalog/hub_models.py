"""Models on the hub without a recipe, by name: ``hf:owner/name``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import msgspec

from baize_convert.failures import first_few
from baize_convert.hub.names import HUB_PREFIX, parse_name
from baize_convert.hub.repository import HubRepository, open_repository
from baize_convert.lora.adapter_folders import choose_adapter
from baize_convert.quantization.outtype_names import OuttypeName
from baize_shared.sanitizer import clean_line
from baize_tui.catalog.recipes import DEFAULT_OUTTYPE, CatalogError, CatalogModel, Recipe

_REPOSITORY = re.compile(r"\w[\w.-]*/[\w.-]+")
_SPLIT_GGUF = re.compile(r"-\d{5}-of-\d{5}\.gguf$")


class _AdapterConfig(msgspec.Struct):
    base_model_name_or_path: str | None = None


def hub_model(wanted: str, outtype: OuttypeName | None = None) -> CatalogModel:
    """The model at ``hf:owner/name``, ``…/file.gguf`` or ``…@revision``, with a new recipe.

    A GGUF is used unchanged; a checkpoint, or an adapter with the base it names, is converted.

    Raises:
        CatalogError: it has no model, or several and not exactly one of this outtype.
        ConvertError: the name is invalid, or the hub cannot be reached.
    """
    path, at, revision = wanted.removeprefix(HUB_PREFIX).partition("@")
    owner, _, rest = path.partition("/")
    repo, _, file = rest.partition("/")
    name = f"{HUB_PREFIX}{owner}/{repo}{at}{revision}"
    repository = open_repository(parse_name(name))
    recipe = _recipe(name, repository, file, outtype)
    stem = file.removesuffix(".gguf").rpartition("/")[2] if file else repo
    short_name = re.sub(r"[^a-z0-9._-]+", "-", stem.lower().removesuffix("-gguf")).strip("-.")
    return CatalogModel(short_name, None, recipe)


def _recipe(name: str, repository: HubRepository, file: str, outtype: OuttypeName | None) -> Recipe:
    files = repository.files
    ggufs = sorted(path for path in files if path.endswith(".gguf") and "mmproj" not in path)
    is_folder = bool(file) and any(path.startswith(f"{file}/") for path in files)
    if file and file not in files and not is_folder:
        raise CatalogError(
            f"{name} has no file and no folder {file}: {first_few(ggufs) or 'no GGUF at all'}"
        )
    if not is_folder and (file or ggufs):
        return Recipe(repository=name, file=file or _choose_gguf(name, ggufs, outtype))
    wanted = outtype or DEFAULT_OUTTYPE
    if "adapter_config.json" in files and not is_folder:
        folder = ""
    elif is_folder or "config.json" not in files:
        folder = choose_adapter(name, files, file)
    else:
        return Recipe(base=name, outtype=wanted)
    if f"{folder}/adapter_config.json".removeprefix("/") not in files:
        inside = f" in {file}" if is_folder else ""
        raise CatalogError(
            f"{name} has no model{inside}: no GGUF, no config.json and no adapter_config.json"
        )
    adapter = str(replace(repository.name, subfolder=folder))
    return Recipe(
        base=_read_base(name, repository.folder / folder), adapters=[adapter], outtype=wanted
    )


def _choose_gguf(name: str, ggufs: list[str], outtype: str | None) -> str:
    whole = [file for file in ggufs if not _SPLIT_GGUF.search(file)]
    if not whole:
        raise CatalogError(f"{name}: its GGUF is split into several files, which is not supported")
    wanted = (outtype or DEFAULT_OUTTYPE).lower()
    fitting = [file for file in whole if wanted in file.lower()]
    if outtype is None and len(whole) == 1:
        return whole[0]
    if len(fitting) == 1:
        return fitting[0]
    raise CatalogError(
        f"{name} has {len(whole)} GGUF files; choose one, as in {name}/{whole[0]}: "
        f"{', '.join(whole)}"
    )


def _read_base(name: str, folder: Path) -> str:
    try:
        raw = (folder / "adapter_config.json").read_bytes()
        base = msgspec.json.decode(raw, type=_AdapterConfig).base_model_name_or_path
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CatalogError(f"{name}: adapter_config.json: {error}") from error
    if not base:
        raise CatalogError(
            f"{name} is an adapter that does not name its base: write a recipe with base and "
            "adapters"
        )
    if not _REPOSITORY.fullmatch(base) or ".." in base:
        raise CatalogError(
            f"{name} is an adapter of {clean_line(base)}, which is not a repository on the hub: it "
            "is where the base was on the machine of the training. Write a recipe with base and "
            "adapters"
        )
    return f"{HUB_PREFIX}{base}"
