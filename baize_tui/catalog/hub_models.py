"""Models on the hub without a recipe, by name: ``hf:owner/name``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import get_args

import msgspec

from baize_convert.failures import first_few
from baize_convert.hub.names import HUB_PREFIX, parse_name
from baize_convert.hub.repository import HubRepository, open_repository
from baize_convert.lora.adapter_folders import choose_adapter
from baize_convert.output.model_card import read_license
from baize_convert.quantization.outtype_names import OuttypeName
from baize_shared.json_errors import JSON_ERRORS
from baize_shared.sanitizer import clean_line
from baize_shared.split_files import model_stem, parse_split_name
from baize_tui.catalog.recipes import (
    DEFAULT_OUTTYPE,
    MODEL_SUFFIX,
    CatalogError,
    CatalogModel,
    Recipe,
)
from baize_tui.shared_texts import NAMED
from baize_tui.translation import msg, tr

_REPOSITORY = re.compile(r"\w[\w.-]*/[\w.-]+")
_NO_MODEL = re.compile(r"mmproj|imatrix")
"""In the names of files that come beside a model; the header of any other file is checked later."""
_CONFIGS = ("config.json", "adapter_config.json")
_MOST_NAMES = 8


class _AdapterConfig(msgspec.Struct):
    base_model_name_or_path: str | None = None


CHOOSE = msg("{name} has {count} GGUF models; choose one, as in {name}/{first}: {known}")
IN_A_FOLDER = msg(
    "{name} has no model at its top, but in {known}: name the folder, as in {name}/{first}"
)
NO_MODEL = msg("{name} has no model: no GGUF, no config.json and no adapter_config.json")
NO_MODEL_INSIDE = msg(
    "{name} has no model in {folder}: no GGUF, no config.json and no adapter_config.json"
)
NAMES_NO_BASE = msg(
    "{name} is an adapter that does not name its base: write a recipe with base and adapters"
)
BASE_ELSEWHERE = msg(
    "{name} is an adapter of {base}, which is not a repository on the hub: it is where the base "
    "was on the machine of the training. Write a recipe with base and adapters"
)


def hub_model(wanted: str, outtype: OuttypeName | None = None) -> CatalogModel:
    """The model at ``hf:owner/name``, ``…/folder``, ``…/file.gguf`` or ``…@revision``, with a new
    recipe; ``…:Q4_K_M`` at the end chooses the outtype too.

    A GGUF is used unchanged; a checkpoint, or an adapter with the base it names, is converted.

    Raises:
        CatalogError: it has no model, or several and not exactly one of this outtype.
        ConvertError: the name is invalid, or the hub cannot be reached.
    """
    wanted, quant = _split_quant(wanted)
    path, at, revision = wanted.removeprefix(HUB_PREFIX).partition("@")
    owner, _, rest = path.partition("/")
    repo, _, inside = rest.partition("/")
    name = f"{HUB_PREFIX}{owner}/{repo}{at}{revision}"
    repository = open_repository(parse_name(name))
    recipe = _recipe(name, repository, inside.strip("/"), quant or outtype)
    license = clean_line(read_license(repository.folder))
    stem = repo
    if inside:
        file = recipe.file and model_stem(PurePosixPath(recipe.file))
        stem = file or f"{repo}-{PurePosixPath(inside).name}"
    short_name = re.sub(r"[^a-z0-9._-]+", "-", stem.lower().removesuffix("-gguf")).strip("-.")
    return CatalogModel(short_name, None, msgspec.structs.replace(recipe, license=license))


def _split_quant(wanted: str) -> tuple[str, str]:
    """The name, and what stands after a colon in it; empty if there is none."""
    name, colon, quant = wanted.removeprefix(HUB_PREFIX).rpartition(":")
    return (f"{HUB_PREFIX}{name}", quant) if colon else (wanted, "")


def _outtype(name: str, quant: str | None) -> OuttypeName:
    """The outtype that a checkpoint is quantized to.

    Raises:
        CatalogError: there is none of this name.
    """
    known: tuple[OuttypeName, ...] = get_args(OuttypeName)
    for outtype in known:
        if outtype.lower() == (quant or DEFAULT_OUTTYPE).lower():
            return outtype
    raise CatalogError(
        tr(
            "{name} is quantized here, to {known}, and not to {quant}",
            name=name,
            known=", ".join(known),
            quant=quant,
        )
    )


def _recipe(name: str, repository: HubRepository, inside: str, outtype: str | None) -> Recipe:
    """The recipe of the file or folder ``inside`` of a repository; of its root if that is empty."""
    files = repository.files
    is_folder = bool(inside) and any(path.startswith(f"{inside}/") for path in files)
    if inside and inside not in files and not is_folder:
        raise CatalogError(
            tr(
                "{name} has no file and no folder {inside}: {content}",
                name=name,
                inside=inside,
                content=_describe(files),
            )
        )
    if inside and not is_folder:
        return Recipe(repository=name, file=_first_file(inside))
    begin = f"{inside}/" if inside else ""
    ggufs = [path for path in _models(files) if path.startswith(begin)]
    here = {path.removeprefix(begin) for path in files if path.startswith(begin)}
    if ggufs:
        return Recipe(repository=name, file=_choose_gguf(name, ggufs, outtype))
    wanted = _outtype(name, outtype)
    if "adapter_config.json" not in here and "config.json" in here:
        return Recipe(base=str(replace(repository.name, subfolder=inside)), outtype=wanted)
    folder = choose_adapter(name, files, inside)
    if f"{folder}/adapter_config.json".removeprefix("/") not in files:
        raise CatalogError(_why_no_model(name, inside, files))
    adapter = str(replace(repository.name, subfolder=folder))
    return Recipe(
        base=_read_base(name, repository.folder / folder), adapters=[adapter], outtype=wanted
    )


def _models(files: Iterable[str]) -> list[str]:
    """The GGUF models among ``files``: of a model in several files the first."""
    ggufs = (path for path in files if path.endswith(MODEL_SUFFIX))
    own = (path for path in ggufs if not _NO_MODEL.search(PurePosixPath(path).name.lower()))
    return sorted({_first_file(path) for path in own})


def _first_file(file: str) -> str:
    """The first file of the model that ``file`` is a part of."""
    split = parse_split_name(file)
    return file if split is None else split.with_number(1)


def _choose_gguf(name: str, ggufs: list[str], outtype: str | None) -> str:
    wanted = (outtype or DEFAULT_OUTTYPE).lower()
    # Not within another name, such as Q4_0 in IQ4_0, or Q4_K in Q4_K_M.
    whole = re.compile(rf"(?<![a-z0-9]){re.escape(wanted)}(?![a-z0-9_])")
    fitting = [file for file in ggufs if whole.search(file.lower())]
    if outtype is None and len(ggufs) == 1:
        return ggufs[0]
    if len(fitting) == 1:
        return fitting[0]
    known = first_few(ggufs, limit=_MOST_NAMES)
    raise CatalogError(tr(CHOOSE, name=name, count=len(ggufs), first=ggufs[0], known=known))


def _describe(files: Iterable[str]) -> str:
    """The GGUF models and the folders with a model among ``files``, in words."""
    known = sorted({*_models(files), *_model_folders(files)})
    if not known:
        return tr("it has no GGUF at all")
    return tr("it has {names}", names=first_few(known, limit=_MOST_NAMES))


def _model_folders(files: Iterable[str]) -> list[str]:
    """The folders with the config of a checkpoint or of an adapter."""
    paths = map(PurePosixPath, files)
    folders = {str(path.parent) for path in paths if path.name in _CONFIGS}
    return sorted(folders - {"."})


def _why_no_model(name: str, inside: str, files: Iterable[str]) -> str:
    begin = f"{inside}/" if inside else ""
    folders = [folder for folder in _model_folders(files) if folder.startswith(begin)]
    if folders:
        known = first_few(folders, limit=_MOST_NAMES)
        return tr(IN_A_FOLDER, name=name, known=known, first=folders[0])
    if inside:
        return tr(NO_MODEL_INSIDE, name=name, folder=inside)
    return tr(NO_MODEL, name=name)


def _read_base(name: str, folder: Path) -> str:
    try:
        raw = (folder / "adapter_config.json").read_bytes()
        base = msgspec.json.decode(raw, type=_AdapterConfig).base_model_name_or_path
    except (OSError, *JSON_ERRORS) as error:
        raise CatalogError(tr(NAMED, name=f"{name}: adapter_config.json", why=error)) from error
    if not base:
        raise CatalogError(tr(NAMES_NO_BASE, name=name))
    if not _REPOSITORY.fullmatch(base) or ".." in base:
        raise CatalogError(tr(BASE_ELSEWHERE, name=name, base=clean_line(base)))
    return f"{HUB_PREFIX}{base}"
