"""Where lines of Chinese and Japanese may end.

Rich and Textual break lines at blanks alone, and fold what is longer than a line. These languages
have no blanks: a line may end between any two characters, but no line begins with a closing mark or
ends with an opening one. The rules are the simple ones of W3C's "Requirements for Chinese Text
Layout", 3.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

import rich.text
from rich.cells import cell_len, chop_cells

_divide_at_blanks: Callable[[str, int, bool], list[int]] = vars(rich.text)["divide_line"]
_IDEOGRAPH = "\u2e80-\u2fff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef"
_CLOSING = "，。、；：？！）】》」』〉”’…·,.;:?!%)]}"
_OPENING = "（【《「『〈“‘([{"


# The expressions are compiled when they are needed: that takes milliseconds, and no start needs it.


@cache
def _ideograph() -> re.Pattern[str]:
    return re.compile(f"[{_IDEOGRAPH}]")


@cache
def _piece() -> re.Pattern[str]:
    """What stays in one line: a character or a word with the marks and blanks that belong to it."""
    return re.compile(
        f"[{re.escape(_OPENING)}]*"
        f"(?:[{_IDEOGRAPH}]|[^\\s{_IDEOGRAPH}{re.escape(_OPENING + _CLOSING)}]+"
        f"|[{re.escape(_CLOSING)}])"
        f"(?:[{re.escape(_CLOSING)}]|(?<=[!-~])[!-~])*"
        "\\s*|\\s+|."
    )


def has_ideographs(text: str) -> bool:
    """Whether ``text`` is to be broken by these rules."""
    return not text.isascii() and _ideograph().search(text) is not None


def line_ends(text: str, width: int, *, with_blanks: bool = False) -> list[int]:
    """Where to divide ``text``, one line, so that each part is at most ``width`` cells wide; blanks
    at the end of a part are not counted, unless ``with_blanks``."""
    ends: list[int] = []
    at = used = 0
    for piece in _pieces(text, width):
        wide = cell_len(piece if with_blanks else piece.rstrip())
        if used and used + wide > width:
            ends.append(at)
            used = 0
        at += len(piece)
        used += cell_len(piece)
    return ends


def _pieces(text: str, width: int) -> Iterator[str]:
    """The pieces of ``text``; one that is wider than a line in parts."""
    for match in _piece().finditer(text):
        piece = match[0]
        if cell_len(piece.rstrip()) > width:
            yield from chop_cells(piece, width)
        else:
            yield piece


def break_lines_of_rich() -> None:
    """Have rich itself divide texts by these rules, as in what typer prints."""
    vars(rich.text)["divide_line"] = _divide_line


def _divide_line(text: str, width: int, fold: bool = True) -> list[int]:
    if not has_ideographs(text):
        return _divide_at_blanks(text, width, fold)
    # Rich counts characters, not cells, when it removes blanks at the end of a line.
    return line_ends(text, width, with_blanks=True)
