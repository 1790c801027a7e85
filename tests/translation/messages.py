"""The messages in the code of the client, found without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import baize_tui
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


def messages_in_code() -> Iterator[Found]:
    """All messages; one that is in two places comes twice."""
    for file in sorted(CODE.rglob("*.py")):
        name = str(file.relative_to(CODE.parent))
        for text, several in messages_in(file.read_text("utf-8"), name):
            yield Found(text, several, name)
    for table, struct in TABLES.items():
        yield Found(table.title(), None, "baize_tui/settings.py")
        yield Found(struct.__doc__ or "", None, "baize_tui/settings.py")


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
