"""What an adapter will take, before anything is downloaded."""

from __future__ import annotations

import math

from baize_convert.lora.adapter import Adapter
from baize_convert.opening import open_adapter
from baize_tui.catalog.adapters import FILE_MISSING, CatalogAdapter
from baize_tui.catalog.finding import known_model
from baize_tui.catalog.plans import AdapterPlan
from baize_tui.catalog.pull import expand_source
from baize_tui.catalog.recipes import CatalogError
from baize_tui.paths import Paths
from baize_tui.translation import tr

_BYTES_PER_WEIGHT = 2
"""An adapter is stored in float16."""


def plan_adapter(adapter: CatalogAdapter, paths: Paths) -> AdapterPlan:
    """Plan ``adapter``; only headers are read of one that is not downloaded.

    Raises:
        ConvertError: the hub cannot be reached, or it is not an adapter.
        CatalogError: its file is gone.
    """
    recipe = adapter.recipe
    download, size = 0, adapter.file_bytes
    if size is None:
        if recipe.adapter is None:
            raise CatalogError(tr(FILE_MISSING, name=adapter.name, file=recipe.file))
        opened = open_adapter(expand_source(recipe.adapter), download_weights=False)
        download = sum(len(file) for file in opened.files if not file.is_local)
        for file in opened.files:
            file.close()
        size = _weights(opened) * _BYTES_PER_WEIGHT
    return AdapterPlan(
        name=adapter.name,
        installed=adapter.installed,
        base=recipe.base,
        has_base=recipe.base is None or _is_installed(recipe.base, paths),
        license=recipe.license,
        download=download,
        bytes=size,
    )


def _weights(adapter: Adapter) -> int:
    matrices = (matrix for change in adapter.changes.values() for matrix in (change.a, change.b))
    return sum(math.prod(matrix.shape) for matrix in matrices if matrix is not None)


def _is_installed(name: str, paths: Paths) -> bool:
    try:
        return known_model(name, paths).installed
    except CatalogError:
        return False
