"""JSON schemas as GBNF, by llama.cpp's own converter."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from msgspec import Struct

from baize_tui.engine.grammars.errors import UnusableForm
from baize_tui.engine.grammars.schema_keywords import ANY_VALUE, KnownKeywords
from baize_tui.translation import tr


class SchemaGrammar(Struct, frozen=True):
    """A JSON schema as a grammar."""

    grammar: str
    ignored: tuple[str, ...]
    """What the grammar does not express; the answer can be checked for it."""


@cache
def any_json() -> str:
    """The grammar of any JSON object or array: a bare number or word is seldom what is meant."""
    schema = {"anyOf": [{"type": "object"}, {"type": "array", "items": ANY_VALUE}]}
    return _convert(schema)


def schema_grammar(text: str) -> SchemaGrammar:
    """The grammar for the JSON schema ``text``.

    Raises:
        UnusableForm: it is not JSON, not a schema, or refers to what is not in it.
    """
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise UnusableForm(tr("the schema is not JSON: {why}", why=error)) from error
    except RecursionError as error:
        raise UnusableForm(tr("the schema is nested too deeply")) from error
    keywords = KnownKeywords()
    return SchemaGrammar(_convert(schema, keywords.rewrite_root), tuple(keywords.ignored))


def _convert(schema: Any, rewrite: Callable[[Any], dict[str, Any]] = dict) -> str:
    try:
        return str(_converter().json_schema_to_gbnf(json.dumps(rewrite(schema))))
    except RecursionError as error:
        raise UnusableForm(tr("the schema is nested too deeply")) from error
    # What is not a schema, such as ``"required": 5``, ends in any of these.
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UnusableForm(tr("the schema cannot be used: {why}", why=error)) from error


@cache
def _converter() -> ModuleType:
    """llama-cpp-python's converter, without the library around it.

    Importing ``llama_cpp`` would load llama.cpp into the client, which a crash of it would end.
    The module alone is pure Python.
    """
    package = importlib.util.find_spec("llama_cpp")
    assert package is not None
    assert package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0]) / "llama_grammar.py"
    spec = importlib.util.spec_from_file_location("baize_llama_grammar", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
