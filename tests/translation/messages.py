"""The messages in the code of the client, found without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from typer.main import get_command

import baize_tui
from baize_shared.program_group import add_debug
from baize_tui.cli.main import commands
from baize_tui.cli.translated_group import help_texts
from baize_tui.measures import count_messages
from baize_tui.setting_fields import TABLES

CODE = Path(baize_tui.__file__).parent

_ARGUMENTS = {
    "msg": (0,),
    "tr": (0,),
    "Action": (2, 3),
    "KeyHint": (0,),
    "PlainCommand": (2,),
    "_about": (0, 1),
    "_number": (0, 1),
    "_count": (0, 1),
}
"""The functions and structs that take messages, and the places of these among their arguments."""
_PLURALS = ("plural_msg", "tr_plural")
_MAY_BE_COMPUTED = ("tr", "tr_plural", "count_text")
"""Those that also translate a text which was marked where it is defined."""


class Found(NamedTuple):
    """A message, and the file that has it."""

    text: str
    several: str | None
    """Its form for several things, if it has one."""
    file: str


@cache
def messages_in_code() -> tuple[Found, ...]:
    """All messages; one that is in two places comes twice."""
    return tuple(_find_messages())


def _find_messages() -> Iterator[Found]:
    for file in sorted(CODE.rglob("*.py")):
        name = str(file.relative_to(CODE.parent))
        for text, several in messages_in(file.read_text("utf-8"), name):
            yield Found(text, several, name)
    for table, struct in TABLES.items():
        yield Found(table.title(), None, "baize_tui/settings.py")
        yield Found(struct.__doc__ or "", None, "baize_tui/settings.py")
    command_line = get_command(commands)
    add_debug(command_line)
    for help_text in help_texts(command_line):
        yield Found(help_text.text, None, "baize_tui/cli")


def messages_in(source: str, name: str) -> Iterator[tuple[str, str | None]]:
    """The messages of a module.

    Raises:
        AssertionError: something other than a text is marked.
    """
    has_counts = "from baize_tui.measures import" in source
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        function = node.func.id
        texts = [each.value if isinstance(each, ast.Constant) else None for each in node.args]
        if function in _PLURALS:
            if isinstance(texts[0], str) and isinstance(texts[1], str):
                yield texts[0], texts[1]
        elif function == "count_text" and has_counts:
            if isinstance(texts[1], str):
                yield count_messages(texts[1])
        else:
            for place in _ARGUMENTS.get(function, ()):
                text = texts[place] if place < len(texts) else None
                is_text = isinstance(text, str)
                assert is_text or function in _MAY_BE_COMPUTED or _defines(function, source), (
                    f"{name}:{node.lineno}: {function} marks something that is no text"
                )
                if isinstance(text, str) and text:
                    yield text, None


def _defines(function: str, source: str) -> bool:
    return f"def {function}(" in source


class Shown(NamedTuple):
    """A message where it is translated, with the names of the values that it gets."""

    text: str
    values: frozenset[str]
    place: str


def messages_shown() -> Iterator[Shown]:
    """All calls of ``tr`` on a message that is written there, or is a constant."""
    trees = {file: ast.parse(file.read_text("utf-8")) for file in sorted(CODE.rglob("*.py"))}
    constants = {_module(file): dict(_constants(tree)) for file, tree in trees.items()}
    for file, tree in trees.items():
        known = dict(constants[_module(file)])
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in constants:
                of_module = constants[node.module]
                known |= {a.asname or a.name: of_module.get(a.name, []) for a in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                name, keywords = node.func.id, [each.arg for each in node.keywords]
                if name != "tr" or None in keywords:  # ** may give any
                    continue
                values = frozenset(key for key in keywords if key is not None)
                for text in _texts(node.args[0], known):
                    yield Shown(text, values, f"{_module(file)}:{node.lineno}")


def _module(file: Path) -> str:
    return ".".join(file.relative_to(CODE.parent).with_suffix("").parts)


def _constants(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """The names of constants, and the messages in each: several in a table."""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, _marked(node.value)
        elif isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            if isinstance(target, ast.Name):
                yield target.id, _marked(value)
            elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                for name, part in zip(target.elts, value.elts, strict=True):
                    if isinstance(name, ast.Name):
                        yield name.id, _marked(part)


def _marked(value: ast.expr) -> list[str]:
    return [
        str(node.args[0].value)
        for node in ast.walk(value)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "msg"
        and isinstance(node.args[0], ast.Constant)
    ]


def _texts(shown: ast.expr, known: Mapping[str, list[str]]) -> list[str]:
    """The messages that an expression may be, as far as this can be read in the code."""
    match shown:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.Name(id=name):
            return known.get(name, [])
        case ast.Subscript(value=ast.Name(id=name)):
            return known.get(name, [])
        case ast.IfExp(body=body, orelse=other):
            return [*_texts(body, known), *_texts(other, known)]
        case _:
            return []
