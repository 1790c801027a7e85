"""Regular expressions as GBNF.

Python parses the expression; each part of it becomes a part of one rule. What no grammar can
express, such as looking ahead or a reference to a group, is refused by name.
"""

from __future__ import annotations

import re
import re._constants as op  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Iterable
from typing import Any

from baize_tui.engine.grammars.errors import UnusableForm
from baize_tui.translation import msg, tr

_CATEGORIES = {
    op.CATEGORY_DIGIT: ("0-9", False),
    op.CATEGORY_NOT_DIGIT: ("0-9", True),
    op.CATEGORY_SPACE: (r" \t\n\r", False),
    op.CATEGORY_NOT_SPACE: (r" \t\n\r", True),
    op.CATEGORY_WORD: ("a-zA-Z0-9_", False),
    op.CATEGORY_NOT_WORD: ("a-zA-Z0-9_", True),
}
_REFUSED = {
    op.ASSERT: msg("looking ahead or behind"),
    op.ASSERT_NOT: msg("looking ahead or behind"),
    op.GROUPREF: msg("a reference to a group"),
    op.GROUPREF_EXISTS: msg("a condition"),
}
_MOST_REPETITIONS = 1000
_IGNORED_CASE = msg("ignoring case")
_IN_THE_MIDDLE = msg("^, $ or \\b in the middle")
INEXPRESSIBLE = msg("a grammar cannot express {what} in a regular expression")


NOT_AMONG_OTHERS = msg(r"\D, \S and \W are not possible among other characters")


def regex_grammar(expression: str) -> str:
    """The grammar of the texts that ``expression`` matches from end to end.

    ``^`` at the beginning and ``$`` at the end may be there or not. ``\\d``, ``\\w`` and ``\\s``
    mean ASCII characters.

    Raises:
        UnusableForm: it is not an expression, or no grammar can express it.
    """
    try:
        parsed = parser.parse(expression)
    except re.error as error:
        raise UnusableForm(tr("not a regular expression: {why}", why=error)) from error
    except (RecursionError, OverflowError) as error:
        raise UnusableForm(tr("the regular expression is too large")) from error
    if parsed.state.flags & re.IGNORECASE:
        raise UnusableForm(tr(INEXPRESSIBLE, what=tr(_IGNORED_CASE)))
    dot = "[^\\x00]" if parsed.state.flags & re.DOTALL else r"[^\n]"
    items = list(parsed)
    if items and items[0] == (op.AT, op.AT_BEGINNING):
        del items[0]
    if items and items[-1] == (op.AT, op.AT_END):
        del items[-1]
    try:
        return f"root ::= {_sequence(items, dot)}"
    except RecursionError as error:
        raise UnusableForm(tr("the regular expression is nested too deeply")) from error


def _sequence(items: Iterable[tuple[Any, Any]], dot: str) -> str:
    return " ".join(_part(kind, value, dot) for kind, value in items) or '""'


def _part(kind: Any, value: Any, dot: str) -> str:
    if kind is op.LITERAL:
        return f'"{_escape(value, in_class=False)}"'
    if kind is op.NOT_LITERAL:
        return f"[^{_escape(value, in_class=True)}]"
    if kind is op.ANY:
        return dot
    if kind is op.IN:
        return _class(value)
    if kind is op.BRANCH:
        return f"({' | '.join(_sequence(branch, dot) for branch in value[1])})"
    if kind is op.SUBPATTERN:
        _, added, removed, inner = value
        if (added | removed) & re.IGNORECASE:
            raise UnusableForm(tr(INEXPRESSIBLE, what=tr(_IGNORED_CASE)))
        return f"({_sequence(inner, dot)})"
    if kind is op.ATOMIC_GROUP:
        return f"({_sequence(value, dot)})"
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        least, most, inner = value
        return _repeat(least, most, inner, dot)
    what = _REFUSED.get(kind) or (_IN_THE_MIDDLE if kind is op.AT else str(kind))
    raise UnusableForm(tr(INEXPRESSIBLE, what=tr(what)))


def _repeat(least: int, most: Any, inner: Any, dot: str) -> str:
    # GBNF has no limits that llama.cpp would read fast beyond this.
    if least > _MOST_REPETITIONS or (most is not op.MAXREPEAT and most > _MOST_REPETITIONS):
        raise UnusableForm(
            tr("more than {count} repetitions are not possible", count=_MOST_REPETITIONS)
        )
    item = f"({_sequence(inner, dot)})"
    if most is op.MAXREPEAT:
        return f"{item}{{{least},}}" if least > 1 else f"{item}{'+' if least else '*'}"
    return f"{item}?" if (least, most) == (0, 1) else f"{item}{{{least},{most}}}"


def _class(items: Iterable[tuple[Any, Any]]) -> str:
    """A class of characters; one with a part such as ``\\D`` in it is only possible alone."""
    parts, negated = [], False
    items = list(items)
    if items and items[0][0] is op.NEGATE:
        negated, items = True, items[1:]
    for kind, value in items:
        if kind is op.LITERAL:
            parts.append(_escape(value, in_class=True))
        elif kind is op.RANGE:
            parts.append("-".join(_escape(end, in_class=True) for end in value))
        else:
            characters, excluded = _CATEGORIES[value]
            if excluded and len(items) > 1:
                raise UnusableForm(tr(NOT_AMONG_OTHERS))
            negated ^= excluded
            parts.append(characters)
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _escape(code: int, *, in_class: bool) -> str:
    char = chr(code)
    if char in ("\\", '"', "]", "[", "^", "-") and (in_class or char in '\\"'):
        return f"\\x{code:02x}"
    if char.isascii() and char.isprintable():
        return char
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
