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
        (r"[\D1]", r"\D"),
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
    ],
)
def test_what_a_grammar_cannot_express_is_named(
    engine: LlamaEngine, schema: dict[str, Any], ignored: list[str]
) -> None:
    grammar = schema_grammar(json.dumps(schema))
    assert [*grammar.ignored] == ignored
    engine.check_grammar(grammar.grammar)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ("3", "not a schema"),
        ("false", "allows no value"),
        ('{"type": "poem"}', "'poem' is not a type"),
        ('{"$ref": "https://example.org/s.json"}', "cannot be used"),
        ('{"$ref": "#/$defs/none"}', "cannot be used"),
        ('{"anyOf": []}', "a list of schemas is needed"),
        ('{"type": "string", "maxLength": 100000}', "more than 500"),
        ('{"type": "array", "maxItems": "two"}', "is not a number"),
        ('{"items": ' * 3000 + "1" + "}" * 3000, "nested too deeply"),
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
