"""The part of Go's template language that Modelfiles use here, evaluated as ``text/template`` does.

Actions: ``if``, ``else``, ``else if``, ``range $i, $name := .List``, ``end``, and values: fields,
variables and their fields, texts, numbers, ``eq``, ``gt``, ``len`` and ``slice``, with parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_ACTION = re.compile(r"\{\{ (.*?) \}\}", re.DOTALL)
_WORD = re.compile(r'"[^"]*"|[()]|[^\s()]+')
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "eq": lambda a, b: a == b,
    "gt": lambda a, b: a > b,
    "len": len,
    "slice": lambda items, start: items[start:],
}


def render_go(source: str, data: Mapping[str, Any]) -> str:
    """What a Go template writes for ``data``."""
    parts = _ACTION.split(source)
    tokens = [(n % 2 == 1, part) for n, part in enumerate(parts)]
    text, rest = _block(tokens, {"$": data}, data, written=True)
    assert not rest, "an end without a beginning"
    return text


_Tokens = list[tuple[bool, str]]


def _block(
    tokens: _Tokens, names: Mapping[str, Any], dot: Any, *, written: bool
) -> tuple[str, _Tokens]:
    """The text up to ``else`` or ``end``, and the tokens from there."""
    text = ""
    while tokens:
        (is_action, part), *tokens = tokens
        if not is_action:
            text += part
        elif part == "end" or part.startswith("else"):
            return text, [(True, part), *tokens]
        elif part.startswith("if "):
            piece, tokens = _branch(part.removeprefix("if "), tokens, names, dot, written)
            text += piece
        elif part.startswith("range "):
            index, item, values = re.fullmatch(r"range (\$\w+), (\$\w+) := (\S+)", part).groups()  # type: ignore[union-attr]
            body, after = tokens, tokens
            for number, value in enumerate(_value(values, names, dot) if written else ()):
                piece, after = _block(
                    body, {**names, index: number, item: value}, value, written=True
                )
                text += piece
            if after is body:
                _, after = _block(body, {**names, index: 0, item: {}}, {}, written=False)
            tokens = after[1:]
        elif written:
            text += str(_value(part, names, dot))
    return text, []


def _branch(
    condition: str, tokens: _Tokens, names: Mapping[str, Any], dot: Any, written: bool
) -> tuple[str, _Tokens]:
    """The text of an ``if`` whose condition was just read, and the tokens after its ``end``."""
    holds = written and bool(_value(condition, names, dot))
    text, ((_, word), *tokens) = _block(tokens, names, dot, written=holds)
    text = text if holds else ""
    if word == "end":
        return text, tokens
    rest_written = written and not holds
    if word.startswith("else if "):
        other, tokens = _branch(word.removeprefix("else if "), tokens, names, dot, rest_written)
    else:
        other, tokens = _block(tokens, names, dot, written=rest_written)
        tokens = tokens[1:]
    return text + (other if rest_written else ""), tokens


def _value(expression: str, names: Mapping[str, Any], dot: Any) -> Any:
    words = iter(_WORD.findall(expression))
    return _call(list(_arguments(words, names, dot)))


def _arguments(words: Iterator[str], names: Mapping[str, Any], dot: Any) -> Iterator[Any]:
    for word in words:
        if word == ")":
            return
        if word == "(":
            yield _call(list(_arguments(words, names, dot)))
        elif word.startswith('"'):
            yield word[1:-1]
        elif word.isdecimal():
            yield int(word)
        elif word in _FUNCTIONS:
            yield _FUNCTIONS[word]
        else:
            name, *fields = word.split(".")
            value = names[name] if name else dot
            for field in fields:
                value = value[field]
            yield value


def _call(items: list[Any]) -> Any:
    if len(items) > 1 or callable(items[0]):
        return items[0](*items[1:])
    return items[0]
