"""Which small model guesses tokens for another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from baize_tui.catalog.finding import local_file
from baize_tui.catalog.recipes import CatalogError, CatalogModel

NO_DRAFT = "none"
"""In place of the name of a draft model: a recipe's own is not used."""


def find_draft(
    model: CatalogModel, chosen: str | None, find_model: Callable[[str], CatalogModel]
) -> Path | None:
    """The file of the draft model for ``model``: as ``chosen`` in the settings, else the one that
    its recipe suggests, if that is on this machine; None for none.

    Raises:
        CatalogError: the chosen one is not on this machine.
    """
    suggested = model.recipe.draft
    if chosen == NO_DRAFT or (chosen is None and suggested is None):
        return None
    try:
        path = local_file(find_model(chosen or suggested or ""))
    except CatalogError:
        if chosen is None:
            return None
        raise
    return None if path == model.path else path
