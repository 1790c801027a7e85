"""What a ``$ref`` in a JSON schema refers to: a part of the same schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from baize_tui.engine.grammars.errors import UnusableForm
from baize_tui.translation import tr


def find_reference(root: Any, reference: Any) -> tuple[str, Any]:
    """The place of what ``reference`` names in ``root``, such as ``/$defs/person``, and its schema.

    Raises:
        UnusableForm: it is not in ``root``; nothing is fetched.
    """
    base = root.get("$id") if isinstance(root, Mapping) else None
    base = base if isinstance(base, str) else ""
    try:
        address, fragment = urldefrag(urljoin(base, reference))
        if address != urldefrag(base)[0]:
            raise LookupError
        place = unquote(fragment)
        return place, _at(root, place)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        why = tr("{address} is not in it", address=reference)
        raise UnusableForm(tr("the schema cannot be used: {why}", why=why)) from error


def _at(root: Any, place: str) -> Any:
    """The part of ``root`` at ``place``, a JSON pointer."""
    first, *names = place.split("/")
    if first:
        raise LookupError(place)
    found = root
    for name in names:
        key = name.replace("~1", "/").replace("~0", "~")
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found
