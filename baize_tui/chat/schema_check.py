"""Whether an answer is valid under its JSON schema."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from fastjsonschema import JsonSchemaDefinitionException, JsonSchemaValueException
from fastjsonschema import compile as compile_schema

from baize_shared.sanitizer import clean_line
from baize_tui.engine.grammars.errors import UnusableForm
from baize_tui.engine.grammars.json_schema import count_values
from baize_tui.translation import tr

_MOST_WITH_DETAILS = 500
"""Values of a schema whose errors name the properties that are missing. Each of them then repeats
all of the schema around it: 800 dependencies take 7 seconds to compile."""
_SCHEMA_IN = (
    *("not", "if", "then", "else", "items", "additionalItems", "contains"),
    *("additionalProperties", "propertyNames"),
)
"""Keywords whose value is a schema; that of ``items`` may be a list of them."""
_SCHEMAS_IN = ("allOf", "anyOf", "oneOf", "items", "prefixItems")
_NAMED_SCHEMAS_IN = ("properties", "patternProperties", "$defs", "definitions", "dependencies")


def schema_problem(source: str, value: object) -> str:
    """Why the schema ``source`` forbids ``value``, in one line; empty if it does not.

    Raises:
        UnusableForm: it is no schema.
    """
    try:
        check_schema(source)(value)
    except JsonSchemaValueException as error:
        return clean_line(str(error))
    return ""


@lru_cache(maxsize=32)
def check_schema(source: str) -> Callable[[Any], Any]:
    """A function that raises ``JsonSchemaValueException`` for a value that ``source`` forbids.

    Raises:
        UnusableForm: it is no schema.
    """
    # Without handlers, a reference to another file would be fetched from the network.
    handlers = dict.fromkeys(("http", "https", "ftp", "file"), _refuse_reference)
    try:
        schema = json.loads(source)
        check: Callable[[Any], Any] = compile_schema(
            _without_const(schema),
            handlers=handlers,
            detailed_exceptions=count_values(schema) <= _MOST_WITH_DETAILS,
        )
    except SyntaxError as error:  # of its own code, beyond 100 levels of indentation
        raise UnusableForm(tr("the schema is nested too deeply")) from error
    # It also raises what its code stumbles over.
    except (
        *(JsonSchemaDefinitionException, re.error, AttributeError, LookupError),
        *(TypeError, ValueError, RecursionError),
    ) as error:
        raise UnusableForm(tr("the schema cannot be used: {why}", why=error)) from error
    return check


def _without_const(schema: Any) -> Any:
    """``schema`` with an ``enum`` of one value for each ``const``, for which fastjsonschema cannot
    write errors without details."""
    if not isinstance(schema, dict):
        return schema
    written = dict(schema)
    if "const" in written and "$ref" not in written:
        constant = written.pop("const")
        allowed = {"enum": [constant]}
        written = {"allOf": [allowed, written]} if "enum" in written else {**written, **allowed}
    for keyword in _SCHEMA_IN:
        if keyword in written:
            written[keyword] = _without_const(written[keyword])
    for keyword in _SCHEMAS_IN:
        if isinstance(inner := written.get(keyword), list):
            written[keyword] = [_without_const(each) for each in inner]
    for keyword in _NAMED_SCHEMAS_IN:
        if isinstance(inner := written.get(keyword), dict):
            written[keyword] = {name: _without_const(each) for name, each in inner.items()}
    return written


def _refuse_reference(uri: str) -> Any:
    raise UnusableForm(tr("the schema refers to another file: {address}", address=uri))
