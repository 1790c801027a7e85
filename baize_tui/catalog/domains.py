"""Which models and adapters were made for a field, such as health care."""

from __future__ import annotations

from collections.abc import Set

from baize_tui.catalog.adapters import known_adapters
from baize_tui.catalog.finding import known_models
from baize_tui.catalog.recipes import CatalogError
from baize_tui.paths import Paths
from baize_tui.translation import tr


def names_in_domain(domain: str, paths: Paths) -> Set[str]:
    """The names of the models and adapters of ``domain``, installed or not; case does not count.

    Raises:
        CatalogError: none is made for it; the message names those that there are.
    """
    names: dict[str, set[str]] = {}
    entries = [(model.name, model.recipe.domain) for model in known_models(paths)]
    entries += [(adapter.name, adapter.recipe.domain) for adapter in known_adapters(paths)]
    for name, made_for in entries:
        if made_for is not None:
            names.setdefault(made_for.name.casefold(), set()).add(name)
    if domain.casefold() not in names:
        known = ", ".join(sorted(names)) or tr("none")
        raise CatalogError(
            tr(
                "no model or adapter has the domain {domain}; domains: {known}",
                domain=repr(domain),
                known=known,
            )
        )
    return names[domain.casefold()]
