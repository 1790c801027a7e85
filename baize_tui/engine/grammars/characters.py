"""Characters and texts in GBNF, as they are or as a JSON string has them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

Interval = tuple[int, int]
"""The first and the last of some characters, by their codes."""

LAST_CHARACTER = 0x10FFFF
_ESCAPED_IN_JSON = tuple(ord(char) for char in '"\\\n\t\r\b\f')
"""Characters that a JSON string has as a short escape; of other controls it has none."""
_NEVER_IN_JSON = ((0, 0x1F), (0x22, 0x22), (0x5C, 0x5C))


def gbnf_text(text: str) -> str:
    """``text`` as a literal of GBNF."""
    return f'"{"".join(escape(ord(char), in_class=False) for char in text)}"'


def text_in_json(text: str) -> str:
    """``text`` as it stands between the quotation marks of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def escape(code: int, *, in_class: bool) -> str:
    """A character inside a literal or a class of GBNF."""
    char = chr(code)
    if char in ("\\", '"', "]", "[", "^", "-") and (in_class or char in '\\"'):
        return f"\\x{code:02x}"
    if char.isascii() and char.isprintable():
        return char
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def joined(intervals: Iterable[Interval]) -> list[Interval]:
    """The same characters in order, without overlaps."""
    result: list[Interval] = []
    for first, last in sorted(intervals):
        if result and first <= result[-1][1] + 1:
            result[-1] = result[-1][0], max(last, result[-1][1])
        else:
            result.append((first, last))
    return result


def others(intervals: Iterable[Interval]) -> list[Interval]:
    """All characters that are not in ``intervals``."""
    result: list[Interval] = []
    start = 0
    for first, last in joined(intervals):
        if first > start:
            result.append((start, first - 1))
        start = last + 1
    if start <= LAST_CHARACTER:
        result.append((start, LAST_CHARACTER))
    return result


def one_of(intervals: Sequence[Interval], *, in_json: bool) -> str:
    """The GBNF of one of some characters; inside a JSON string with ``in_json``.

    Raises:
        ValueError: there are none.
    """
    if not in_json:
        return _class(joined(intervals))
    plain = others([*others(intervals), *_NEVER_IN_JSON])
    parts = [_class(plain)] if plain else []
    for code in _ESCAPED_IN_JSON:
        if any(first <= code <= last for first, last in intervals):
            parts.append(gbnf_text(text_in_json(chr(code))))
    if not parts:
        raise ValueError("no such character")
    return f"({' | '.join(parts)})" if len(parts) > 1 else parts[0]


def _class(intervals: Sequence[Interval]) -> str:
    if not intervals:
        raise ValueError("no such character")
    # A class that ends with the last character is shorter by what it leaves out.
    if intervals[-1][1] == LAST_CHARACTER and (left_out := others(intervals)):
        return f"[^{_ranges(left_out)}]"
    return f"[{_ranges(intervals)}]"


def _ranges(intervals: Iterable[Interval]) -> str:
    return "".join(
        escape(first, in_class=True)
        if first == last
        else f"{escape(first, in_class=True)}-{escape(last, in_class=True)}"
        for first, last in intervals
    )
