"""Schemas and regular expressions as grammars: what they allow, and what is refused or named."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_tui.engine.grammars.errors import UnusableForm
from baize_tui.engine.grammars.json_schema import any_json, schema_grammar
from baize_tui.engine.grammars.regex import regex_grammar
from baize_tui.engine.llama.errors import EngineError
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.settings import Sampling
from tests.engine.grammar_texts import allows
from tests.engine.test_llama_engine import PARIS, answer

EXPRESSIONS = [
    r"^(yes|no|maybe)$",
    r"[A-Z][a-z]{2,8}, [A-Z][a-z]+\.",
    r"\d{4}-(0[1-9]|1[0-2])-\d\d",
    r"[^\s,]{1,5}(, [^\s,]{1,5}){2}",
    r"(?:\"[^\"]{1,9}\"|\[\d\])-?",
    "白泽{1,3}[。！]",
    r"\w{3}\W\D",
]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_answer_matches_the_expression(engine: LlamaEngine, expression: str) -> None:
    grammar = regex_grammar(expression)
    for seed in range(2):
        sampling = Sampling(temperature=1.5, seed=seed)
        finished = answer(engine, PARIS, sampling, grammar=grammar, max_tokens=40)
        assert finished.reason == "stop"
        assert re.fullmatch(expression.strip("^$"), finished.text, re.ASCII)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("(", "not a regular expression"),
        (r"(?=a)a", "looking ahead"),
        (r"(?<!a)b", "looking ahead or behind"),
        (r"(a)\1", "a reference to a group"),
        (r"(?i)yes", "ignoring case"),
        (r"\bword\b", r"\b in the middle"),
        (r"a^b", "^, $"),
        (r"(^a)+", "^, $"),
        (r"[^\s\S]", "matches nothing"),
        (r"a{2000}", "1000 repetitions"),
        ("(" * 2000 + ")" * 2000, "too large"),
    ],
)
def test_an_expression_that_no_grammar_can_express(expression: str, why: str) -> None:
    with pytest.raises(UnusableForm, match=re.escape(why)) as caught:
        regex_grammar(expression)
    assert "\n" not in str(caught.value)


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["name", "age"],
}


@pytest.mark.parametrize(
    "schema",
    [
        PERSON,
        {"type": ["boolean", "null"]},
        {"anyOf": [{"const": 3}, {"$ref": "#/$defs/word"}], "$defs": {"word": {"enum": ["x"]}}},
    ],
)
def test_an_answer_follows_the_schema(engine: LlamaEngine, schema: dict[str, Any]) -> None:
    import fastjsonschema

    grammar = schema_grammar(json.dumps(schema))
    assert grammar.ignored == ()
    for seed in range(2):
        sampling = Sampling(temperature=1.0, seed=seed)
        finished = answer(engine, PARIS, sampling, grammar=grammar.grammar, max_tokens=120)
        fastjsonschema.validate(schema, json.loads(finished.text))


NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
    },
    "required": ["value", "next"],
}
NAMES = [
    "root",
    "char",
    "string",
    "space",
    "value",
    "rule-1",
    "",
    'a"b',
    "a\\b",
    "a/b",
    "\U0001f600",
]
"""Names that rules of a grammar could have, and some with characters that have to be escaped."""


def only(schema: Any, name: str = "a") -> dict[str, Any]:
    """An object with one property."""
    return {"type": "object", "properties": {name: schema}, "required": [name]}


def pattern(expression: str) -> dict[str, Any]:
    return {"type": "string", "pattern": expression}


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        (pattern(r"^\d{3}-\d{4}$"), ["123-4567"], ["123-456", "abc-defg"]),
        (pattern(r"^[^@\s]+@(?:\w+\.)+[a-z]{2,}$"), ["a.b@c.example.org"], ["a b@c.de", "a@b"]),
        (pattern(r"^\$\d+\.\d\d\/[\w.-]+$"), ["$12.50/kg"], ["$12,50/kg", "12.50/kg"]),
        (pattern('^["\\\\\\n]+$'), ['"', "\\", '\n"'], ["a", ""]),
        (pattern("^.{2}$"), ["ab", '""', "白泽", "\t\\"], ["a", "abc"]),
        (pattern("^(yes|no)$"), ["yes"], ["maybe"]),
        (pattern(r"^\S+ [^\d]$"), ['a" b', "\\ x"], ["a 1", " a"]),
        ({"type": "string"}, ["", 'say "hi"', "two\nlines", "😀"], [3]),
        ({"enum": ['say "hi"', "a\\b", "two\nlines", "😀 白泽"]}, ["a\\b", "😀 白泽"], ["ab"]),
        ({"enum": ['say "hi"', "two\nlines"]}, ['say "hi"', "two\nlines"], ["say hi"]),
        ({"const": {"k": ["ü", None, 1.5]}}, [{"k": ["ü", None, 1.5]}], [{}]),
        ({"const": None}, [None], [1]),
        ({"type": ["string", "null"], "enum": ["a", None, 3]}, ["a", None], [3]),
        ({"type": "integer", "enum": [1, 2.0, True, 2.5]}, [1], [True, 2.5]),
        (
            {"type": "object", "properties": {name: {"const": name} for name in NAMES}},
            [
                {},
                {"root": "root"},
                {"value": "value", 'a"b': 'a"b'},
                {name: name for name in NAMES},
            ],
            [{"root": "char"}, {"b": "b"}],
        ),
        (
            {
                "properties": {"char": {"enum": [1]}, "whole": {"enum": [2]}, "s": {}},
                "required": ["char", "s"],
            },
            [{"char": 1, "s": "text"}, {"char": 1, "s": [12], "whole": 2}],
            [{"char": 2, "s": ""}],
        ),
        (
            {"properties": {"a": {"const": 1}, "b": False}, "additionalProperties": {"const": 2}},
            [{}, {"a": 1}, {"z": 2}, {"a": 1, "y": 2, "z": 2}],
            [{"z": 3}, {"a": 1, "z": 3}],
        ),
        (
            {"allOf": [{"$ref": "#/$defs/a"}, only({"const": 2}, "b")], "$defs": {"a": only({})}},
            [{"a": "x", "b": 2}],
            [{"a": "x"}, {"b": 2}],
        ),
        (
            {**only({"type": "integer"}), "anyOf": [only({"const": 1}, "x"), {"required": ["a"]}]},
            [{"a": 3, "x": 1}, {"a": 3}],
            [{"x": 1}],
        ),
        ({"allOf": [{"type": "string"}, {"maxLength": 2}]}, ["ab"], ["abc", {}]),
        (
            {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
            [{"value": 1, "next": {"value": 2, "next": None}}],
            [{"value": 1, "next": 2}],
        ),
        (
            {"anyOf": [only({"$ref": "#"}), {"type": "null"}]},
            [None, {"a": {"a": None}}],
            [{"a": 1}],
        ),
        (
            {**only({"$ref": "#/$defs/a~1b%20%25"}), "$defs": {"a/b %": {"enum": [1, 2]}}},
            [{"a": 2}],
            [{"a": 3}],
        ),
        (
            {**only({"$ref": "s.json#/$defs/x"}), "$defs": {"x": {"const": 1}}, "$id": "/s.json"},
            [{"a": 1}],
            [{"a": 2}],
        ),
        (
            {"properties": {"a": {"const": 1}, "b": {"$ref": "#/properties/a"}}},
            [{"b": 1}],
            [{"b": 2}],
        ),
        ({"items": {"type": "integer"}, "minItems": 2, "maxItems": 3}, [[1, 2], [1, 2, 3]], [[1]]),
        ({"type": "array", "items": {"enum": [1]}, "maxItems": 1}, [[], [1]], [[1, 1]]),
        ({"type": "array", "items": False}, [[]], [[1]]),
        ({"prefixItems": [{"type": "integer"}, {"type": "string"}]}, [[1, "a"]], [["a", 1]]),
        ({"type": "string", "format": "date"}, ["2026-12-01"], ["2026-13-01", "today"]),
        ({"type": "string", "minLength": 2, "maxLength": 500}, ["ab", "x" * 500], ["a"]),
        ({"type": "number"}, [0, -1.5, 1e20], ["1"]),
    ],
)
def test_a_grammar_allows_what_the_schema_does(
    engine: LlamaEngine, schema: dict[str, Any], valid: list[Any], invalid: list[Any]
) -> None:
    made = schema_grammar(json.dumps(schema))
    assert made.ignored == ()
    for value in valid:
        assert allows(engine.vocabulary, made.grammar, json.dumps(value, ensure_ascii=False))
    for value in invalid:
        assert not allows(engine.vocabulary, made.grammar, json.dumps(value, ensure_ascii=False))


@pytest.mark.parametrize("text", ['"two\nlines"', '"tab\t"', '{"a": "\r"}'])
def test_a_string_of_json_has_no_bare_control_character(engine: LlamaEngine, text: str) -> None:
    assert not allows(engine.vocabulary, schema_grammar("{}").grammar, text)


@pytest.mark.parametrize(
    ("expression", "valid", "invalid"),
    [
        (r"\A(yes|no)\Z", ["yes", "no"], ["maybe"]),
        ("^yes$|^no$", ["yes", "no"], ["yes$", ""]),
        ("(^yes$)", ["yes"], ["^yes"]),
        (r"[\s\S]{3}", ["a\n1"], ["ab"]),
        (r"[\D1]+", ["a1", "白1"], ["2"]),
        (r"[^\W\d]+", ["abc"], ["a1", "-"]),
        ("[[:a]+", ["[:a"], ["b"]),
        ('[^"a]', ["b", "\n"], ["a", '"']),
    ],
)
def test_a_grammar_allows_what_the_expression_does(
    engine: LlamaEngine, expression: str, valid: list[str], invalid: list[str]
) -> None:
    grammar = regex_grammar(expression)
    for text in valid:
        assert allows(engine.vocabulary, grammar, text)
    for text in invalid:
        assert not allows(engine.vocabulary, grammar, text)


@pytest.mark.parametrize(
    ("schema", "ignored"),
    [
        ({"type": "integer", "minimum": 1}, ["minimum at the top"]),
        (
            {"properties": {"a": {"type": "array", "uniqueItems": True}}},
            ["uniqueItems at /properties/a"],
        ),
        ({"type": "string", "pattern": "a"}, ["pattern a (without ^ and $) at the top"]),
        ({"type": "string", "format": "email"}, ["format email at the top"]),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, ["oneOf (as anyOf) at the top"]),
        ({"type": "object", "required": ["b"], "properties": {}}, ["required b at the top"]),
        ({"not": {"const": 1}}, ["not at the top"]),
        ({"title": "T", "description": "D", "type": "null", "default": None}, []),
        ({"if": True, "then": True}, ["if at the top", "then at the top"]),
        ({"type": "string", "pattern": "^(?=a)b$"}, ["pattern ^(?=a)b$ at the top"]),
        ({"allOf": [{"minLength": 1}, {"minLength": 2}]}, ["minLength at the top"]),
    ],
)
def test_what_a_grammar_cannot_express_is_named(
    engine: LlamaEngine, schema: dict[str, Any], ignored: list[str]
) -> None:
    grammar = schema_grammar(json.dumps(schema))
    assert [*grammar.ignored] == ignored
    engine.check_grammar(grammar.grammar)


def doubling_schema(levels: int) -> str:
    """Small, but what it says, written out, doubles at each level."""
    schemas: dict[str, object] = {f"level{levels}": {"type": "object"}}
    for level in range(levels):
        next_one = {"$ref": f"#/$defs/level{level + 1}"}
        schemas[f"level{level}"] = {"anyOf": [next_one, next_one], "minProperties": 1}
    return json.dumps({"$ref": "#/$defs/level0", "$defs": schemas})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ("3", "not a schema"),
        ("false", "allows no value"),
        ('{"type": "poem"}', "'poem' is not a type"),
        ('{"$ref": "https://example.org/s.json"}', "cannot be used"),
        ('{"$ref": "#/$defs/none"}', "cannot be used"),
        ('{"$ref": "other.json#/$defs/a"}', "is not in it"),
        ('{"$ref": "#"}', "refers to itself"),
        ('{"anyOf": [{"$ref": "#"}, {"type": "null"}]}', "refers to itself"),
        ('{"anyOf": []}', "a list of schemas is needed"),
        ('{"enum": []}', "enum allows no value"),
        ('{"enum": "yes"}', "a list of values is needed"),
        ('{"type": "integer", "enum": ["a"]}', "enum allows no value"),
        ('{"const": NaN}', "cannot be used"),
        ('{"type": []}', "[] is not a type"),
        ('{"type": "array", "minItems": 3, "maxItems": 2}', "maxItems allows no value"),
        ('{"type": "object", "required": "a"}', "a list of names is needed"),
        ('{"type": "string", "maxLength": 100000}', "more than 500"),
        ('{"type": "array", "maxItems": "two"}', "is not a number"),
        ('{"items": ' * 3000 + "1" + "}" * 3000, "nested too deeply"),
        (doubling_schema(24), "more than 5000"),
    ],
)
def test_a_schema_that_cannot_be_used(text: str, why: str) -> None:
    with pytest.raises(UnusableForm, match=re.escape(why)) as caught:
        schema_grammar(text)
    assert "\n" not in str(caught.value)


def test_llama_cpp_checks_a_grammar(engine: LlamaEngine) -> None:
    engine.check_grammar(any_json())
    for wrong in ("root ::= nothing", 'root ::= "a', "leaf ::= [a]"):
        with pytest.raises(EngineError, match="the grammar cannot be read"):
            engine.check_grammar(wrong)


KEYWORDS = (
    *("type", "properties", "required", "items", "prefixItems", "minItems", "enum", "const"),
    *("anyOf", "allOf", "$ref", "$defs", "pattern", "format", "maxLength", "additionalProperties"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "string", "#/$defs/a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYWORDS) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYWORDS), JSON, min_size=1))
def test_any_json_is_a_schema_or_refused(schema: dict[str, Any]) -> None:
    with contextlib.suppress(UnusableForm):
        assert "root ::=" in schema_grammar(json.dumps(schema)).grammar


@given(st.text(alphabet="ab01\\dwsDWSbzZ^$.|?*+()[]{},-:=!<>P白", max_size=14))
def test_any_expression_is_a_grammar_or_refused(expression: str) -> None:
    with contextlib.suppress(UnusableForm):
        assert regex_grammar(expression).startswith("root ::= ")
