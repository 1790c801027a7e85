"""The value of ``--draft``. No typer here: a plain start would have to import it."""

from __future__ import annotations

import msgspec

from baize_tui.catalog.draft_models import NO_DRAFT
from baize_tui.catalog.finding import find_model, local_file
from baize_tui.paths import Paths
from baize_tui.settings import Settings


def with_draft(settings: Settings, value: str | None, paths: Paths) -> Settings:
    """``settings`` with the value of ``--draft``, if it was given.

    Raises:
        CatalogError: there is no such model on this machine.
    """
    if value is None:
        return settings
    if value != NO_DRAFT:
        local_file(find_model(value, paths))  # a wrong name fails here
    model = msgspec.structs.replace(settings.model, draft=value)
    return msgspec.structs.replace(settings, model=model)
