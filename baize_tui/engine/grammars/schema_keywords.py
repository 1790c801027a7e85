"""JSON schemas in the words that llama.cpp's converter knows, and what of them it does not.

Its converter (``llama_cpp.llama_grammar``, a translation of llama.cpp's
``json_schema_to_grammar.py``) stops at some keywords and ignores others without a word. So a schema
is rewritten for it: what it would ignore is named, and what has the same meaning in other words is
put in those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from baize_tui.engine.grammars.errors import UnusableForm
from baize_tui.translation import tr

ANY_VALUE: dict[str, Any] = {
    "anyOf": [
        {"type": type}
        for type in ("object", "array", "string", "number", "integer", "boolean", "null")
    ]
}
_OF_TYPE = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("pattern", "format", "minLength", "maxLength"),
}
"""What the converter knows about each type; about the others it knows nothing more."""
_TYPES = {*_OF_TYPE, "number", "integer", "boolean", "null"}
_WITHOUT_MEANING = {
    *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"),
    *("$schema", "$id", "$comment", "$defs", "definitions", "$anchor", "$vocabulary"),
}
_FORMATS = {"date", "time", "date-time", "uuid", "uuid1", "uuid2", "uuid3", "uuid4", "uuid5"}
_COMBINING = ("anyOf", "oneOf", "allOf")


class KnownKeywords:
    """Rewrites one schema; ``ignored`` says afterwards what a grammar does not express."""

    def __init__(self) -> None:
        self.ignored: list[str] = []
        """Keywords with their places, such as ``uniqueItems at /properties/tags``."""

    def rewrite_root(self, schema: Any) -> dict[str, Any]:
        """``schema`` and its definitions.

        Raises:
            UnusableForm: it is no schema.
        """
        rewritten = self.rewrite(schema, "")
        if isinstance(schema, Mapping):
            for table in ("$defs", "definitions"):
                if isinstance(schema.get(table), Mapping):
                    rewritten[table] = {
                        name: self.rewrite(each, f"/{table}/{name}")
                        for name, each in schema[table].items()
                    }
        return rewritten

    def rewrite(self, schema: Any, place: str) -> dict[str, Any]:
        """``schema``, which is at ``place`` of the whole.

        Raises:
            UnusableForm: it is no schema, or nothing is valid.
        """
        if schema is True:
            return dict(ANY_VALUE)
        if schema is False:
            raise UnusableForm(
                tr("{place}: false allows no value", place=place or tr("the schema"))
            )
        if not isinstance(schema, Mapping):
            raise UnusableForm(
                tr("{place} is not a schema: an object, true or false", place=place or tr("it"))
            )
        given = {key: value for key, value in schema.items() if key not in _WITHOUT_MEANING}
        if "$ref" in given:
            return {"$ref": self._only(given, place, "$ref")["$ref"]}
        for keyword in ("const", "enum"):
            if keyword in given:
                only = self._only(given, place, keyword, "type")
                return {keyword: only[keyword]}
        for keyword in _COMBINING:
            if keyword in given:
                return self._combine(given, place, keyword)
        return self._of_types(given, place)

    def _only(self, given: dict[str, Any], place: str, *keywords: str) -> dict[str, Any]:
        """Those of ``given`` with these ``keywords``; the others are ignored."""
        for keyword in given:
            if keyword not in keywords:
                self._ignore(keyword, place)
        return {keyword: given[keyword] for keyword in keywords if keyword in given}

    def _ignore(self, keyword: str, place: str) -> None:
        self.ignored.append(
            tr("{keyword} at {place}", keyword=keyword, place=place or tr("the top"))
        )

    def _combine(self, given: dict[str, Any], place: str, keyword: str) -> dict[str, Any]:
        self._only(given, place, keyword, "type")
        if not isinstance(given[keyword], list) or not given[keyword]:
            raise UnusableForm(
                tr("{place}: a list of schemas is needed", place=f"{place}/{keyword}")
            )
        if keyword == "oneOf":
            self._ignore(tr("oneOf (as anyOf)"), place)
        schemas = [
            self.rewrite(each, f"{place}/{keyword}/{number}")
            for number, each in enumerate(given[keyword])
        ]
        if keyword == "allOf" and len(schemas) == 1:
            return schemas[0]
        return {"allOf" if keyword == "allOf" else "anyOf": schemas}

    def _of_types(self, given: dict[str, Any], place: str) -> dict[str, Any]:
        types = given.get("type")
        if types is None:
            types = [type for type, own in _OF_TYPE.items() if any(key in given for key in own)]
            if not types:
                self._only(given, place)
                return dict(ANY_VALUE)
        types = types if isinstance(types, list) else [types]
        for type in types:
            if type not in _TYPES:
                raise UnusableForm(
                    tr(
                        "{place}: {type} is not a type",
                        place=place or tr("the schema"),
                        type=repr(type),
                    )
                )
        known = {key for type in types for key in _OF_TYPE.get(type, ())}
        given = self._only(given, place, "type", *known)
        rewritten = [self._of_type(type, given, place) for type in types]
        return rewritten[0] if len(rewritten) == 1 else {"anyOf": rewritten}

    def _of_type(self, type: str, given: dict[str, Any], place: str) -> dict[str, Any]:
        own = {key: given[key] for key in _OF_TYPE.get(type, ()) if key in given}
        match type:
            case "object":
                own = self._object(own, place)
            case "array":
                own = self._array(own, place)
            case "string":
                own = self._string(own, place)
        return {"type": type, **own}

    def _object(self, own: dict[str, Any], place: str) -> dict[str, Any]:
        properties = own.get("properties", {})
        if not isinstance(properties, Mapping):
            raise UnusableForm(tr("{place}/properties: an object is needed", place=place))
        required = own.get("required", [])
        for name in required:
            if name not in properties:
                self._ignore(f"required {name}", place)
        changed: dict[str, Any] = {}
        if "properties" in own:
            changed["properties"] = {
                name: self.rewrite(each, f"{place}/properties/{name}")
                for name, each in properties.items()
            }
            changed["required"] = [name for name in required if name in properties]
        if isinstance(more := own.get("additionalProperties"), Mapping):
            changed["additionalProperties"] = self.rewrite(more, f"{place}/additionalProperties")
        elif more is False:
            changed["additionalProperties"] = False
        return changed

    def _array(self, own: dict[str, Any], place: str) -> dict[str, Any]:
        if isinstance(items := own.get("prefixItems", own.get("items", True)), list):
            for keyword in ("minItems", "maxItems"):
                if keyword in own and own[keyword] != len(items):
                    self._ignore(keyword, place)
            return {
                "items": [self.rewrite(each, f"{place}/items/{n}") for n, each in enumerate(items)]
            }
        own = {key: value for key, value in own.items() if key != "prefixItems"}
        for keyword in ("minItems", "maxItems"):
            _check_count(own, keyword, place)
        return {**own, "items": self.rewrite(items, f"{place}/items")}

    def _string(self, own: dict[str, Any], place: str) -> dict[str, Any]:
        for keyword in ("minLength", "maxLength"):
            _check_count(own, keyword, place)
        if "format" in own and own["format"] not in _FORMATS:
            self._ignore(f"format {own.pop('format')}", place)
        if "pattern" in own:
            pattern = str(own["pattern"])
            if not (pattern.startswith("^") and pattern.endswith("$")):
                pattern = own.pop("pattern")
                self._ignore(tr("pattern {pattern} (without ^ and $)", pattern=pattern), place)
        # The converter takes the first of these that it finds.
        order = [key for key in ("pattern", "format", "minLength", "maxLength") if key in own]
        for key in order[1:]:
            if (order[0], key) != ("minLength", "maxLength"):
                self._ignore(key, place)
                del own[key]
        return own


def _check_count(own: Mapping[str, Any], keyword: str, place: str) -> None:
    """Check a number of characters or elements.

    Raises:
        UnusableForm: it is not one, or a grammar of that size would take minutes to read.
    """
    value = own.get(keyword, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UnusableForm(
            tr(
                "{place}: {value} is not a number of elements",
                place=f"{place}/{keyword}",
                value=repr(value),
            )
        )
    if value > _MOST_REPETITIONS:
        raise UnusableForm(
            tr(
                "{place}: more than {count} is not possible",
                place=f"{place}/{keyword}",
                count=_MOST_REPETITIONS,
            )
        )


_MOST_REPETITIONS = 500
"""Each one nests the rule once more; Python's recursion and llama.cpp's stack have limits."""
