"""Find the base that a command line names."""

from __future__ import annotations

from pathlib import Path

from baize_shared.user_paths import expand_user
from baize_train.errors import TrainError


def resolve_base(base: str) -> Path:
    """The folder or file of ``base``; one of the Hub (``hf:``) is downloaded first.

    Raises:
        TrainError: there is no such base, or the Hub refuses it.
    """
    from baize_convert.failures import ConvertError
    from baize_convert.hub.cache import cache_weights
    from baize_convert.hub.names import HUB_PREFIX, parse_name
    from baize_convert.hub.repository import open_repository
    from baize_tui.catalog.recipes import CatalogError, find_model
    from baize_tui.paths import project_paths

    if base.startswith(HUB_PREFIX):
        try:
            name = parse_name(base)
            cache_weights(name)
            return open_repository(name).folder
        except ConvertError as error:
            raise TrainError(str(error)) from error
    path = expand_user(base)
    if path.exists():
        return path.absolute()
    try:
        model = find_model(base, project_paths())
    except CatalogError as error:
        raise TrainError(f"{base}: no such folder or file, and {error}") from error
    if model.path is None:
        raise TrainError(f"{base} is not downloaded yet: baize-tui models pull {base}")
    return model.path
