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
        return _grammar(json.loads(text))
    except json.JSONDecodeError as error:
        raise UnusableForm(tr("the schema is not JSON: {why}", why=error)) from error
    except RecursionError as error:
        raise UnusableForm(tr("the schema is nested too deeply")) from error
    except ValueError as error:  # a number that JSON has no room for
        raise UnusableForm(tr("the schema cannot be used: {why}", why=error)) from error


def _grammar(schema: Any) -> SchemaGrammar:
    rules = SchemaRules(schema)
    return SchemaGrammar(grammar(rules.root(), rules.rules), tuple(rules.ignored))
