"""A JSON schema as rules of GBNF, and what of it these do not express.

Each schema is an expression; what it refers to, and what is repeated, is a rule with a number, so
no name in a schema can be that of another rule. As in llama.cpp's own converter, an object has its
required properties first, each in the order of the schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from baize_tui.engine.grammars.errors import UnusableForm
from baize_tui.engine.grammars.json_rules import in_quotes, json_literal
from baize_tui.engine.grammars.merged_schemas import merge_schemas
from baize_tui.engine.grammars.references import find_reference
from baize_tui.engine.grammars.regex import regex_rule
from baize_tui.translation import msg, tr

_OF_TYPE = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("pattern", "format", "minLength", "maxLength"),
}
"""What a grammar expresses of each type; of the others nothing more."""
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_WITHOUT_MEANING = {
    *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"),
    *("$schema", "$id", "$comment", "$defs", "definitions", "$anchor", "$vocabulary"),
}
_FORMATS = {
    **{name: name for name in ("date", "time", "date-time", "uuid")},
    **{f"uuid{version}": "uuid" for version in range(1, 6)},
}
"""The rule of each format."""
_COMBINING = ("anyOf", "oneOf", "allOf")
_MOST_REPETITIONS = 500
"""llama.cpp reads a grammar with more of them for minutes, or refuses it."""
_MOST_PARTS = 5_000
"""Schemas and values that are combined with each other can double at each level."""
_ALLOWS_NOTHING = msg("{place}: {keyword} allows no value")


class SchemaRules:
    """Writes the rules of one schema; ``ignored`` says afterwards what they do not express."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._names: dict[str, str] = {}
        """The rules of what was referred to, by its place."""
        self._entered: set[str] = set()
        """Places whose rules would begin with themselves if they were referred to here."""
        self._written = 0
        """Schemas and values that were written so far, each as often as it was."""
        self.rules: dict[str, str] = {}
        self.ignored: list[str] = []
        """Keywords with their places, such as ``uniqueItems at /properties/tags``."""

    def root(self) -> str:
        """The expression of the whole.

        Raises:
            UnusableForm: it is no schema, or nothing is valid.
        """
        return self._refer("", self._schema)

    def _refer(self, place: str, schema: Any) -> str:
        """The rule of ``schema``, which something refers to by its ``place``."""
        if place in self._entered:
            why = tr("{address} refers to itself", address=f"#{place}")
            raise UnusableForm(tr("the schema cannot be used: {why}", why=why))
        if place not in self._names:
            self._names[place] = name = self._new_rule()
            self._entered.add(place)
            self.rules[name] = self._expression(schema, place)
            self._entered.discard(place)
        return self._names[place]

    def _new_rule(self, content: str = "") -> str:
        name = f"rule-{len(self.rules) + 1}"
        self.rules[name] = content
        return name

    def _inside(self, schema: Any, place: str) -> str:
        """The expression of a schema for a part of a value, which begins after a bracket."""
        before, self._entered = self._entered, set()
        expression = self._expression(schema, place)
        self._entered = before
        return expression

    def _expression(self, schema: Any, place: str) -> str:
        """The expression of ``schema``, which is at ``place`` of the whole: one item of a rule.

        Raises:
            UnusableForm: it is no schema, nothing is valid, or it grows without an end.
        """
        self._count(1)
        if schema is True:
            return "value"
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
            self._only(given, place, "$ref")
            return self._refer(*find_reference(self._schema, given["$ref"]))
        if "const" in given:
            given["enum"] = [given.pop("const")]
        if "enum" in given:
            return self._values(given, place)
        for keyword in _COMBINING:
            if keyword in given:
                return self._combine(given, place, keyword)
        return self._of_types(given, place)

    def _count(self, parts: int) -> None:
        """Count schemas or values that are written.

        Raises:
            UnusableForm: there are too many.
        """
        self._written += parts
        if self._written > _MOST_PARTS:
            raise UnusableForm(
                tr(
                    "the schema is too large: combined, its parts are more than {count}",
                    count=_MOST_PARTS,
                )
            )

    def _only(self, given: Mapping[str, Any], place: str, *keywords: str) -> dict[str, Any]:
        """Those of ``given`` with these ``keywords``; the others are ignored."""
        for keyword in given:
            if keyword not in keywords:
                self._ignore(keyword, place)
        return {keyword: given[keyword] for keyword in keywords if keyword in given}

    def _ignore(self, keyword: str, place: str) -> None:
        self.ignored.append(
            tr("{keyword} at {place}", keyword=keyword, place=place or tr("the top"))
        )

    def _values(self, given: Mapping[str, Any], place: str) -> str:
        values = self._only(given, place, "enum", "type")["enum"]
        if not isinstance(values, list):
            raise UnusableForm(tr("{place}: a list of values is needed", place=f"{place}/enum"))
        self._count(len(values))
        types = self._types(given, place)
        fitting = [value for value in values if not types or _has_type(value, types)]
        if not fitting:
            raise UnusableForm(tr(_ALLOWS_NOTHING, place=place or tr("the schema"), keyword="enum"))
        return f"({_alternatives(map(json_literal, fitting))}) space"

    def _combine(self, given: dict[str, Any], place: str, keyword: str) -> str:
        parts = given.pop(keyword)
        if not isinstance(parts, list) or not parts:
            raise UnusableForm(
                tr("{place}: a list of schemas is needed", place=f"{place}/{keyword}")
            )
        if keyword == "allOf":
            return self._merged([given, *parts] if given else parts, place)
        if keyword == "oneOf":
            self._ignore(tr("oneOf (as anyOf)"), place)
        expressions = [
            self._merged([given, part], f"{place}/{keyword}/{number}")
            if given
            else self._expression(part, f"{place}/{keyword}/{number}")
            for number, part in enumerate(parts)
        ]
        return f"({_alternatives(expressions)})"

    def _merged(self, parts: list[Any], place: str) -> str:
        """The expression of values that are valid for all ``parts``."""
        if len(parts) == 1:
            return self._expression(parts[0], place)
        merged, lost = merge_schemas(self._schema, parts)
        for keyword in lost:
            self._ignore(keyword, place)
        return self._expression(merged, place)

    def _types(self, given: Mapping[str, Any], place: str) -> list[str]:
        """The types that are named; none if any is allowed."""
        if "type" not in given:
            return []
        types = given["type"] if isinstance(given["type"], list) else [given["type"]]
        for type in types or [[]]:
            if not isinstance(type, str) or type not in _PYTHON_TYPES:
                raise UnusableForm(
                    tr(
                        "{place}: {type} is not a type",
                        place=place or tr("the schema"),
                        type=repr(type),
                    )
                )
        return types

    def _of_types(self, given: dict[str, Any], place: str) -> str:
        types = self._types(given, place)
        if not types:
            types = [type for type, own in _OF_TYPE.items() if any(key in given for key in own)]
            if not types:
                self._only(given, place)
                return "value"
        known = {key for type in types for key in _OF_TYPE.get(type, ())}
        given = self._only(given, place, "type", *known)
        expressions = [self._of_type(type, given, place) for type in dict.fromkeys(types)]
        return expressions[0] if len(expressions) == 1 else f"({_alternatives(expressions)})"

    def _of_type(self, type: str, given: dict[str, Any], place: str) -> str:
        own = {key: given[key] for key in _OF_TYPE.get(type, ()) if key in given}
        match type:
            case "object" if own:
                return f"({self._object(own, place)})"
            case "array" if own:
                return f"({self._array(own, place)})"
            case "string" if own:
                return f"({self._string(own, place)})"
        return type

    # --- objects ----------------------------------------------------------------------------------

    def _object(self, own: dict[str, Any], place: str) -> str:
        properties, required = own.get("properties", {}), own.get("required", [])
        if not isinstance(properties, Mapping):
            raise UnusableForm(tr("{place}/properties: an object is needed", place=place))
        if not isinstance(required, list):
            raise UnusableForm(tr("{place}: a list of names is needed", place=f"{place}/required"))
        for name in required:
            if name not in properties:
                self._ignore(f"required {name}", place)
        needed: list[str] = []
        optional: list[str] = []
        for name, each in properties.items():
            if each is False and name not in required:
                continue  # it must not be there
            value = self._inside(each, f"{place}/properties/{name}")
            member = f"{json_literal(name)} space {_COLON} {value}"
            (needed if name in required else optional).append(member)
        more = self._other_member(own, place)
        return f'"{{" space {self._members(needed, optional, more)} "}}" space'

    def _other_member(self, own: dict[str, Any], place: str) -> str:
        """A member that is none of the properties; empty if there are none."""
        others = own.get("additionalProperties")
        if isinstance(others, Mapping):
            value = self._inside(others, f"{place}/additionalProperties")
        elif others is True or (others is None and "properties" not in own):
            value = "value"
        else:  # where nothing is said of others, a model would invent them without an end
            return ""
        return self._new_rule(f"string {_COLON} {value}")

    def _members(self, needed: list[str], optional: list[str], more: str) -> str:
        rest = f"({_COMMA} {more})*" if more else ""
        if needed:
            after = [f"({_COMMA} {member})?" for member in optional]
            return " ".join([f" {_COMMA} ".join(needed), *after, rest])
        # The first member has no comma before it, whichever it is.
        beginnings = [f"{more} {rest}"] if more else []
        tail = rest
        for member in reversed(optional):
            rule = self._new_rule(member)
            beginnings.append(f"{rule} {tail}")
            tail = self._new_rule(f"({_COMMA} {rule})? {tail}")
        return f"({_alternatives(reversed(beginnings))})?" if beginnings else ""

    # --- arrays and strings -----------------------------------------------------------------------

    def _array(self, own: dict[str, Any], place: str) -> str:
        least, most = self._counts(own, place, "minItems", "maxItems")
        items = own.get("prefixItems", own.get("items", True))
        if isinstance(items, list):
            for keyword in ("minItems", "maxItems"):
                if keyword in own and own[keyword] != len(items):
                    self._ignore(keyword, place)
            parts = [self._inside(each, f"{place}/items/{n}") for n, each in enumerate(items)]
            return f'"[" space {f" {_COMMA} ".join(parts)} "]" space'
        if most == 0 or (items is False and not least):
            return '"[" space "]" space'
        item = self._new_rule()
        self.rules[item] = self._inside(items, f"{place}/items")
        further = f"({_COMMA} {item}){_repetition(max(least - 1, 0), most and most - 1)}"
        content = f"{item} {further}" if least else f"({item} {further})?"
        return f'"[" space {content} "]" space'

    def _string(self, own: dict[str, Any], place: str) -> str:
        least, most = self._counts(own, place, "minLength", "maxLength")
        content = self._pattern(own, place) or self._format(own, place)
        if content:
            for keyword in ("minLength", "maxLength"):
                if keyword in own:
                    self._ignore(keyword, place)
        return in_quotes(content or f"char{_repetition(least, most)}")

    def _pattern(self, own: dict[str, Any], place: str) -> str:
        """The characters of a pattern; empty if there is none that a grammar expresses."""
        if "pattern" not in own:
            return ""
        pattern = own["pattern"]
        if isinstance(pattern, str) and pattern.startswith("^") and pattern.endswith("$"):
            try:
                content = f"({regex_rule(pattern, in_json=True)})"
            except UnusableForm:
                self._ignore(f"pattern {pattern}", place)
                return ""
            if "format" in own:
                self._ignore("format", place)
            return content
        self._ignore(tr("pattern {pattern} (without ^ and $)", pattern=pattern), place)
        return ""

    def _format(self, own: dict[str, Any], place: str) -> str:
        if "format" not in own:
            return ""
        if rule := _FORMATS.get(str(own["format"])):
            return rule
        self._ignore(f"format {own['format']}", place)
        return ""

    def _counts(
        self, own: Mapping[str, Any], place: str, lower: str, upper: str
    ) -> tuple[int, int | None]:
        """The lowest and the highest number of characters or elements."""
        for keyword in (lower, upper):
            _check_count(own.get(keyword, 0), f"{place}/{keyword}")
        least, most = own.get(lower, 0), own.get(upper)
        if most is not None and most < least:
            raise UnusableForm(tr(_ALLOWS_NOTHING, place=place or tr("the schema"), keyword=upper))
        return least, most


_COMMA, _COLON = '"," space', '":" space'


def _alternatives(expressions: Iterable[str]) -> str:
    return " | ".join(expressions)


def _repetition(least: int, most: int | None) -> str:
    if most is None:
        return f"{{{least},}}" if least else "*"
    return f"{{{least},{most}}}"


def _has_type(value: Any, types: list[str]) -> bool:
    """Whether ``value`` has one of ``types``."""
    if isinstance(value, bool):  # which is an int in Python
        return "boolean" in types
    if isinstance(value, float) and not value.is_integer():
        return "number" in types
    return isinstance(value, tuple(each for type in types for each in _PYTHON_TYPES[type]))


def _check_count(value: Any, place: str) -> None:
    """Check a number of characters or elements.

    Raises:
        UnusableForm: it is not one, or a grammar of that size would take minutes to read.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UnusableForm(
            tr("{place}: {value} is not a number of elements", place=place, value=repr(value))
        )
    if value > _MOST_REPETITIONS:
        raise UnusableForm(
            tr("{place}: more than {count} is not possible", place=place, count=_MOST_REPETITIONS)
        )
