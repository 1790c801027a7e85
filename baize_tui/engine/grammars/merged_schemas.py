"""Several JSON schemas as one: a value that is valid for it is valid for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from baize_tui.engine.grammars.references import find_reference

_SIDE_BY_SIDE = ("title", "description", "default", "examples", "$schema", "$comment", "$id")
"""Keywords that say nothing about a value."""


def merge_schemas(root: Any, parts: list[Any]) -> tuple[Any, list[str]]:
    """``parts`` of the schema ``root`` as one, and the keywords of which only the first counts.

    Raises:
        UnusableForm: one of them refers to what is not in ``root``.
    """
    merged: dict[str, Any] = {}
    lost: list[str] = []
    waiting = list(parts)
    followed: set[str] = set()
    while waiting:
        part = waiting.pop(0)
        if part is True:
            continue
        if not isinstance(part, Mapping):
            return part, lost  # false, or no schema
        part = dict(part)
        if "$ref" in part:
            place, target = find_reference(root, part.pop("$ref"))
            if place not in followed:
                followed.add(place)
                waiting.insert(0, target)
        if isinstance(part.get("allOf"), list):
            waiting[:0] = part.pop("allOf")
        for keyword, value in part.items():
            _add(merged, keyword, value, lost)
    return merged or True, lost


def _add(merged: dict[str, Any], keyword: str, value: Any, lost: list[str]) -> None:
    """Put one keyword into ``merged``."""
    before = merged.get(keyword, value)
    if keyword == "properties" and isinstance(before, dict) and isinstance(value, dict):
        merged[keyword] = {**before}
        for name, each in value.items():
            other = before.get(name, each)
            merged[keyword][name] = each if other == each else {"allOf": [other, each]}
    elif keyword == "required" and isinstance(before, list) and isinstance(value, list):
        merged[keyword] = before + [name for name in value if name not in before]
    elif keyword == "type" and before != value:
        merged[keyword] = _common(before, value)
    elif keyword == "enum" and isinstance(before, list) and isinstance(value, list):
        merged[keyword] = [each for each in before if each in value]
    elif before == value:
        merged[keyword] = value
    elif keyword not in _SIDE_BY_SIDE:
        lost.append(keyword)


def _common(types: Any, others: Any) -> list[Any]:
    """The types that both name."""
    types, others = ([each] if isinstance(each, str) else each for each in (types, others))
    if not isinstance(types, list) or not isinstance(others, list):
        return [types, others]  # which are no types
    return [each for each in types if each in others]
