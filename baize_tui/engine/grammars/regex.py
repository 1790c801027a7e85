"""Regular expressions as GBNF.

Python parses the expression; each part of it becomes a part of one rule. What no grammar can
express, such as looking ahead or a reference to a group, is refused by name.
"""

from __future__ import annotations

import re
import re._constants as op  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from baize_tui.engine.grammars.characters import (
    LAST_CHARACTER,
    Interval,
    gbnf_text,
    one_of,
    others,
    text_in_json,
)
from baize_tui.engine.grammars.errors import UnusableForm
from baize_tui.translation import msg, tr

_DIGITS = ((0x30, 0x39),)
_SPACES = ((0x09, 0x0A), (0x0D, 0x0D), (0x20, 0x20))
_WORD = (*_DIGITS, (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_CATEGORIES: dict[Any, Sequence[Interval]] = {
    op.CATEGORY_DIGIT: _DIGITS,
    op.CATEGORY_NOT_DIGIT: others(_DIGITS),
    op.CATEGORY_SPACE: _SPACES,
    op.CATEGORY_NOT_SPACE: others(_SPACES),
    op.CATEGORY_WORD: _WORD,
    op.CATEGORY_NOT_WORD: others(_WORD),
}
_LINE_END = ((0x0A, 0x0A),)
_BEGINS = (op.AT_BEGINNING, op.AT_BEGINNING_STRING)
_ENDS = (op.AT_END, op.AT_END_STRING)
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


def regex_grammar(expression: str) -> str:
    """The grammar of the texts that ``expression`` matches from end to end.

    ``^`` at the beginning and ``$`` at the end may be there or not. ``\\d``, ``\\w`` and ``\\s``
    mean ASCII characters.

    Raises:
        UnusableForm: it is not an expression, or no grammar can express it.
    """
    return f"root ::= {regex_rule(expression)}"


def regex_rule(expression: str, *, in_json: bool = False) -> str:
    """The content of a rule for ``expression``, see ``regex_grammar``; with ``in_json`` for its
    texts inside a JSON string.

    Raises:
        UnusableForm: it is not an expression, or no grammar can express it.
    """
    try:
        with warnings.catch_warnings():  # about what a later Python may read in another way
            warnings.simplefilter("ignore")
            parsed = parser.parse(expression)
    except re.error as error:
        raise UnusableForm(tr("not a regular expression: {why}", why=error)) from error
    except (RecursionError, OverflowError) as error:
        raise UnusableForm(tr("the regular expression is too large")) from error
    if parsed.state.flags & re.IGNORECASE:
        raise UnusableForm(tr(INEXPRESSIBLE, what=tr(_IGNORED_CASE)))
    rule = _Rule(in_json=in_json, dot_is_all=bool(parsed.state.flags & re.DOTALL))
    try:
        return rule.sequence(parsed, begins=True, ends=True)
    except RecursionError as error:
        raise UnusableForm(tr("the regular expression is nested too deeply")) from error
    except ValueError as error:  # a class such as [^\s\S]
        raise UnusableForm(tr("the regular expression matches nothing")) from error


class _Rule:
    """Writes the parts of an expression."""

    def __init__(self, *, in_json: bool, dot_is_all: bool) -> None:
        self._in_json = in_json
        self._dot = self._one_of(((1, LAST_CHARACTER),) if dot_is_all else others(_LINE_END))

    def sequence(self, items: Iterable[tuple[Any, Any]], *, begins: bool, ends: bool) -> str:
        """Parts that follow each other; ``begins`` and ``ends`` say whether they are at the
        beginning and the end of the whole, where an anchor means nothing more."""
        items = list(items)
        while begins and items and items[0][0] is op.AT and items[0][1] in _BEGINS:
            del items[0]
        while ends and items and items[-1][0] is op.AT and items[-1][1] in _ENDS:
            del items[-1]
        last = len(items) - 1
        parts = [
            self._part(kind, value, begins=begins and place == 0, ends=ends and place == last)
            for place, (kind, value) in enumerate(items)
        ]
        return " ".join(parts) or '""'

    def _part(self, kind: Any, value: Any, *, begins: bool, ends: bool) -> str:
        if kind is op.LITERAL:
            return gbnf_text(text_in_json(chr(value)) if self._in_json else chr(value))
        if kind is op.NOT_LITERAL:
            return self._one_of(others([(value, value)]))
        if kind is op.ANY:
            return self._dot
        if kind is op.IN:
            return self._one_of(_class(value))
        if kind is op.BRANCH:
            branches = [self.sequence(each, begins=begins, ends=ends) for each in value[1]]
            return f"({' | '.join(branches)})"
        if kind is op.SUBPATTERN:
            _, added, removed, inner = value
            if (added | removed) & re.IGNORECASE:
                raise UnusableForm(tr(INEXPRESSIBLE, what=tr(_IGNORED_CASE)))
            return f"({self.sequence(inner, begins=begins, ends=ends)})"
        if kind is op.ATOMIC_GROUP:
            return f"({self.sequence(value, begins=begins, ends=ends)})"
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            return self._repeat(*value)
        what = _REFUSED.get(kind) or (_IN_THE_MIDDLE if kind is op.AT else str(kind))
        raise UnusableForm(tr(INEXPRESSIBLE, what=tr(what)))

    def _repeat(self, least: int, most: Any, inner: Any) -> str:
        # GBNF has no limits that llama.cpp would read fast beyond this.
        if least > _MOST_REPETITIONS or (most is not op.MAXREPEAT and most > _MOST_REPETITIONS):
            raise UnusableForm(
                tr("more than {count} repetitions are not possible", count=_MOST_REPETITIONS)
            )
        item = f"({self.sequence(inner, begins=False, ends=False)})"
        if most is op.MAXREPEAT:
            return f"{item}{{{least},}}" if least > 1 else f"{item}{'+' if least else '*'}"
        return f"{item}?" if (least, most) == (0, 1) else f"{item}{{{least},{most}}}"

    def _one_of(self, intervals: Sequence[Interval]) -> str:
        return one_of(intervals, in_json=self._in_json)


def _class(items: Iterable[tuple[Any, Any]]) -> list[Interval]:
    """The characters of a class."""
    negated = False
    intervals: list[Interval] = []
    for kind, value in items:
        if kind is op.NEGATE:
            negated = True
        elif kind is op.LITERAL:
            intervals.append((value, value))
        elif kind is op.RANGE:
            intervals.append(tuple(value))
        else:
            intervals += _CATEGORIES[value]
    return others(intervals) if negated else intervals
