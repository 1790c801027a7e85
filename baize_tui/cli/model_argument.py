"""The model that a command is given: a name, a GGUF file, a folder, or one on the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec

from baize_convert.hub.names import HUB_PREFIX
from baize_convert.quantization.outtype_names import OuttypeName
from baize_shared.user_paths import expand_user
from baize_tui.catalog.adapters import CatalogAdapter, known_adapters
from baize_tui.catalog.default_model import default_or_none
from baize_tui.catalog.finding import find_model, known_model, known_models
from baize_tui.catalog.recipes import DEFAULT_OUTTYPE, MODEL_SUFFIX, CatalogModel, Recipe
from baize_tui.cli.failures import CommandError
from baize_tui.paths import Paths
from baize_tui.settings import SettingsError, load_settings
from baize_tui.translation import tr


def parse_outtype(value: str | None) -> OuttypeName | None:
    """The value of ``--outtype``, in any case; None if it was not given.

    Raises:
        CommandError: there is no such outtype.
    """
    if value is None:
        return None
    known: tuple[OuttypeName, ...] = get_args(OuttypeName)
    for name in known:
        if name == value.upper():
            return name
    raise CommandError(
        tr(
            "no outtype is called {outtype}; known: {known}",
            outtype=repr(value),
            known=", ".join(known),
        )
    )


def resolve_model(argument: str, paths: Paths, outtype: OuttypeName | None) -> CatalogModel:
    """The model that ``argument`` names: a known one, one on the hub, a file or a folder.

    A known name comes first, as everywhere: a folder of the same name that happens to be here is
    ``./NAME``. With ``outtype`` a checkpoint is quantized to that in place of its recipe's.

    Raises:
        CatalogError: there is no such model.
        ConvertError: the hub cannot be reached, or has no such model.
    """
    if argument.startswith(HUB_PREFIX):
        from baize_tui.catalog.hub_models import hub_model

        return hub_model(argument, outtype)
    path = expand_user(argument)
    is_known = argument in {model.name for model in known_models(paths)}
    if path.is_dir() and not is_known:
        name = re.sub(r"[^a-z0-9._-]+", "-", path.resolve().name.lower()).strip("-.")
        recipe = Recipe(base=str(path.resolve()), outtype=outtype or DEFAULT_OUTTYPE)
        return CatalogModel(name, None, recipe)
    if path.suffix == MODEL_SUFFIX:
        return find_model(argument, paths)
    known = known_model(argument, paths)
    if outtype is None or known.recipe.base is None:
        return known
    recipe = msgspec.structs.replace(known.recipe, outtype=outtype)
    return CatalogModel(known.name, None, recipe)  # not the file that is installed


def default_model(paths: Paths) -> CatalogModel | None:
    """The model that answers in new conversations; None without one, or with invalid settings."""
    try:
        chosen = load_settings(paths.settings_file).model.default
    except SettingsError:  # the commands that read the settings report it
        return None
    return default_or_none(chosen, paths)


def find_model_or_adapter(name: str, paths: Paths) -> CatalogModel | CatalogAdapter:
    """The installed or known model or adapter ``name``, or the model in a GGUF file.

    Raises:
        CatalogError: there is none.
    """
    if Path(name).suffix == MODEL_SUFFIX or "/" in name:
        return find_model(name, paths)
    return known_adapter(name, paths) or known_model(name, paths)


def known_adapter(name: str, paths: Paths) -> CatalogAdapter | None:
    """The adapter ``name``, installed or not; None if there is none."""
    adapters = known_adapters(paths)
    return next((adapter for adapter in adapters if adapter.name == name), None)
