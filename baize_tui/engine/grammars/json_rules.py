"""The rules of JSON itself in GBNF: what every grammar of a schema may refer to.

They are those of llama.cpp's ``json_schema_to_grammar.py``. White space is one space at most: a
model would run away in more.
"""

from __future__ import annotations

import json
from typing import Any

from baize_tui.engine.grammars.characters import gbnf_text

JSON_RULES = {
    "space": '" "?',
    "value": "object | array | string | number | boolean | null",
    "object": '"{" space ( string ":" space value ("," space string ":" space value)* )? "}" space',
    "array": '"[" space ( value ("," space value)* )? "]" space',
    "string": r'"\"" char* "\"" space',
    "char": r'[^"\\\x7f\x00-\x1f] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4})',
    "number": '("-"? whole) ("." [0-9]{1,16})? ([eE] [-+]? whole)? space',
    "integer": '("-"? whole) space',
    "whole": "[0-9] | [1-9] [0-9]{0,15}",
    "boolean": '("true" | "false") space',
    "null": '"null" space',
    "date": '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [1-2] [0-9] | "3" [0-1])',
    "time": (
        '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{3})? '
        '("Z" | [+-] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])'
    ),
    "date-time": 'date "T" time',
    "uuid": ' "-" '.join(f"[0-9a-fA-F]{{{count}}}" for count in (8, 4, 4, 4, 12)),
}
"""By their names; those of a schema's own rules have a number, and differ from all of these."""


def json_literal(value: Any) -> str:
    """The GBNF of exactly ``value``.

    Raises:
        ValueError: it has a number that JSON has no room for.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, which no model can write
        text = json.dumps(value)
    return gbnf_text(text)


def in_quotes(content: str) -> str:
    """The GBNF of a JSON string with ``content``."""
    return rf'"\"" {content} "\"" space'


def grammar(root: str, rules: dict[str, str]) -> str:
    """A grammar that begins with ``root``, with ``rules`` and those of JSON."""
    rows = {"root": root, **rules, **JSON_RULES}
    return "".join(f"{name} ::= {content}\n" for name, content in rows.items())
