"""Answers are checked by schemas of any shape and of a bounded size."""

from __future__ import annotations

import json
from typing import Any

import fastjsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_tui.chat.forms import prepare_form
from baize_tui.chat.schema_check import schema_problem
from baize_tui.engine.grammars.errors import UnusableForm
from baize_tui.output_forms import OutputForm

values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "const"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["a", "const"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def schemas_around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, min_size=1, max_size=2)
    # A property may have the name of a keyword.
    named = st.dictionaries(st.sampled_from(["a", "const", "enum"]), inner, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "const": values,
            "enum": st.lists(values, min_size=1, max_size=2),
            "allOf": lists,
            "anyOf": lists,
            "oneOf": lists,
            "items": inner | lists,
            "additionalItems": inner,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "properties": named,
            "patternProperties": named,
            "additionalProperties": inner,
            "propertyNames": inner,
            "contains": inner,
            "dependencies": named,
        },
    )


schemas = st.recursive(st.booleans() | st.just({"const": "a"}), schemas_around, max_leaves=6)


@given(schemas, values)
def test_it_forbids_what_fastjsonschema_forbids(schema: Any, value: Any) -> None:
    try:
        fastjsonschema.compile(schema)(value)
    except fastjsonschema.JsonSchemaValueException:
        valid = False
    except fastjsonschema.JsonSchemaDefinitionException:
        with pytest.raises(UnusableForm):
            schema_problem(json.dumps(schema), value)
        return
    else:
        valid = True
    assert (schema_problem(json.dumps(schema), value) == "") == valid


def nested(levels: int, innermost: Any) -> Any:
    schema = innermost
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {"dependencies": {f"k{n}": ["a"] for n in range(4_000)}},
        {"enum": [f"value {n}" for n in range(4_000)]},
        {"const": list(range(9_000))},
        nested(20, {"enum": list(range(4_000))}),
    ],
    ids=["dependencies", "enum", "const", "nested"],
)
def test_a_large_schema_is_used(schema: Any) -> None:
    """In time and memory that grow with its size, and not with the square of it."""
    form = prepare_form(OutputForm("json_schema", json.dumps(schema), "large.json"))
    assert form.grammar
    assert schema_problem(form.form.source, {"k1": 1}) != ""


def test_one_that_is_nested_too_deeply_is_refused() -> None:
    source = json.dumps(nested(60, {}))
    with pytest.raises(UnusableForm, match=r"nested too deeply$"):
        prepare_form(OutputForm("json_schema", source, "deep.json"))


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": [1] * 100_000},
        {"const": {str(n): n for n in range(20_000)}},
        {"if": {"enum": list(range(20_000))}},
        {"anything": [[[[0] * 20_000]]]},
        {"required": [f"k{n}" for n in range(20_000)]},
    ],
    ids=["enum", "const", "if", "anything", "required"],
)
def test_one_that_is_too_large_is_refused(schema: Any) -> None:
    with pytest.raises(UnusableForm, match=r"^large\.json: the schema is too large: "):
        prepare_form(OutputForm("json_schema", json.dumps(schema), "large.json"))
