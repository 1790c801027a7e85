"""JSON schemas as GBNF."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from msgspec import Struct

from baize_tui.engine.grammars.errors import UnusableForm
from baize_tui.engine.grammars.json_rules import grammar
from baize_tui.engine.grammars.schema_rules import SchemaRules
from baize_tui.translation import tr

_MOST_VALUES = 10_000
"""100,000 values, or as many names, take minutes in llama.cpp and a gigabyte in fastjsonschema."""


class SchemaGrammar(Struct, frozen=True):
    """A JSON schema as a grammar."""

    grammar: str
    ignored: tuple[str, ...]
    """What the grammar does not express; the answer can be checked for it."""


@cache
def any_json() -> str:
    """The grammar of any JSON object or array: a bare number or word is seldom what is meant."""
    return grammar("object | array", {})


def schema_grammar(text: str) -> SchemaGrammar:
    """The grammar for the JSON schema ``text``.

    Raises:
        UnusableForm: it is not JSON, not a schema, or refers to what is not in it.
    """
    try:
        schema = json.loads(text)
        if count_values(schema) > _MOST_VALUES:
            raise UnusableForm(
                tr("the schema is too large: it has more than {count} values", count=_MOST_VALUES)
            )
        return _grammar(schema)
    except json.JSONDecodeError as error:
        raise UnusableForm(tr("the schema is not JSON: {why}", why=error)) from error
    except RecursionError as error:
        raise UnusableForm(tr("the schema is nested too deeply")) from error
    except ValueError as error:  # a number that JSON has no room for
        raise UnusableForm(tr("the schema cannot be used: {why}", why=error)) from error


def count_values(schema: Any) -> int:
    """The keys with their values, and the items of lists, at all levels of ``schema``."""
    left, count = [schema], 0
    while left:
        part = left.pop()
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        count += len(inner)
        left.extend(inner)
    return count


def _grammar(schema: Any) -> SchemaGrammar:
    rules = SchemaRules(schema)
    return SchemaGrammar(grammar(rules.root(), rules.rules), tuple(rules.ignored))
