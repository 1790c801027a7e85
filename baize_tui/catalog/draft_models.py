"""Which small model guesses tokens for another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from baize_tui.catalog.recipes import CatalogModel

NO_DRAFT = "none"
"""In place of the name of a draft model: a recipe's own is not used."""


def find_draft(
    model: CatalogModel, chosen: str | None, find_model: Callable[[str], CatalogModel]
) -> Path | None:
    """The file of the draft model for ``model``: as ``chosen`` in the settings, else as its recipe
    says; None for none.

    Raises:
        CatalogError: it is not on this machine.
    """
    name = chosen or model.recipe.draft
    if name is None or name == NO_DRAFT:
        return None
    path = find_model(name).path
    return None if path == model.path else path
