"""What an answer may contain beside Markdown: formulas in LaTeX, and links that can be clicked.

A formula stands between ``\\(`` and ``\\)``, between ``\\[`` and ``\\]``, in an environment such as
``align``, or between dollars. Between single dollars it has to look like one: ``$5 and $10`` and
``$HOME/bin:$PATH`` stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

_INLINE, _INLINE_DOUBLE = "math_inline", "math_inline_double"
_BLOCKS = ("math_block", "amsmath")
_BRACKETS = {"(": _INLINE, "[": _INLINE_DOUBLE}
_CLOSING = {"(": "\\)", "[": "\\]"}
_FORMULA = re.compile(
    r"\s*(?:"
    r".*[\\^_{}=<>|].*"  # has a sign of LaTeX
    r"|[A-Za-z0-9.,!'() ]{1,3}"  # is a letter or a number
    r"|[A-Za-z0-9](?:\s?[-+*/(),]\s?[A-Za-z0-9])*\)?"  # or several, and what stands between them
    r")\s*",
    re.DOTALL,
)
_PICTURE = "🌆"
_SAFE_LINK = re.compile(r"(?:https?://|mailto:)[!-~]{1,2000}", re.IGNORECASE)
"""What a terminal is told to open: no file, no program of another scheme."""


def add_marks(parser: MarkdownIt) -> MarkdownIt:
    """``parser``, which also finds formulas and bare URLs."""
    dollarmath_plugin(parser, allow_space=False, allow_digits=False, double_inline=True)
    amsmath_plugin(parser)
    parser.inline.ruler.before("escape", "bracket_math", _bracket_math)
    parser.block.ruler.before(
        "paragraph", "bracket_math_block", _bracket_math_block, {"alt": ["paragraph", "blockquote"]}
    )
    if parser.linkify is not None:
        parser.linkify.set({"fuzzy_link": False, "fuzzy_email": False})
    return parser


def _bracket_math(state: StateInline, silent: bool) -> bool:
    kind = state.src[state.pos + 1 : state.pos + 2]
    if state.src[state.pos] != "\\" or kind not in _BRACKETS:
        return False
    end = state.src.find(_CLOSING[kind], state.pos + 2, state.posMax)
    if end < 0:
        return False
    if not silent:
        token = state.push(_BRACKETS[kind], "math", 0)
        token.content, token.markup = state.src[state.pos + 2 : end], f"\\{kind}"
    state.pos = end + 2
    return True


def _bracket_math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    first = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]]
    if not first.startswith("\\[") or state.is_code_block(start):
        return False
    for line in range(start, end):
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()
        if text.endswith("\\]"):
            break
        if not text:
            return False
    else:
        return False
    if not silent:
        token = state.push("math_block", "math", 0)
        content = state.getLines(start, line + 1, state.tShift[start], False).strip()
        token.content, token.map, token.block = content[2:-2], [start, line + 1], True
    state.line = line + 1
    return True


# --- tokens that Rich can draw ------------------------------------------------------------------


def drawable(tokens: list[Token]) -> list[Token]:
    """``tokens`` with formulas as text, and with links that are safe and do not lie."""
    drawn: list[Token] = []
    for token in tokens:
        if token.type in _BLOCKS:
            drawn += _block(token)
        else:
            if token.children:
                token.children = list(_inline(token.children))
            drawn.append(token)
    return drawn


def _block(token: Token) -> Iterator[Token]:
    """A paragraph with the lines of a formula, indented."""
    lines = _unicode(token.content).split("\n")
    children = []
    for number, line in enumerate(lines):
        if number:
            children.append(Token("hardbreak", "br", 0))
        children.append(_text(f"  {line}"))
    inline = Token("inline", "", 0, children=children, level=token.level + 1, map=token.map)
    yield Token("paragraph_open", "p", 1, level=token.level, map=token.map, block=True)
    yield inline
    yield Token("paragraph_close", "p", -1, level=token.level, block=True)


def _inline(children: list[Token]) -> Iterator[Token]:
    link: list[Token] = []
    for number, child in enumerate(children):
        if child.type in (_INLINE, _INLINE_DOUBLE):
            after = children[number + 1].content if number + 1 < len(children) else ""
            child = _text(_formula(child, after))
        if child.type == "image":
            address = str(child.attrs.get("src", ""))
            picture = _text(f"{_PICTURE} {child.content or address}")
            if link:
                link.append(picture)
            else:
                begin = Token("link_open", "a", 1, attrs={"href": address})
                yield from _link([begin, picture], Token("link_close", "a", -1))
        elif child.type == "link_open":
            link = [child]
        elif child.type == "link_close" and link:
            yield from _link(link, child)
            link = []
        elif link:
            link.append(child)
        else:
            yield child
    yield from link[1:]


def _formula(token: Token, after: str) -> str:
    """The text of a formula; as it was written if it is none. ``after`` follows it."""
    is_dollar = token.markup in ("$", "")
    if is_dollar and token.type == _INLINE:
        if after[:1].isalnum() or not _FORMULA.fullmatch(token.content):
            return f"${token.content}$"
    elif token.markup == "\\(" and not _FORMULA.fullmatch(token.content):
        return f"({token.content})"
    return " ".join(_unicode(token.content.replace("\n", " ")).split("\n"))


def _unicode(latex: str) -> str:
    # Imported for the first formula: most conversations have none.
    from baize_tui.app.transcript.maths import maths_text

    return maths_text(latex)


def _link(opened: list[Token], close: Token) -> Iterator[Token]:
    """A link that a terminal may open, with its address where the text is another one."""
    begin, *inner = opened
    address = str(begin.attrs.get("href", ""))
    shown = "".join(token.content for token in inner)
    is_safe = bool(_SAFE_LINK.fullmatch(address))
    if is_safe:
        yield begin
    yield from inner
    if is_safe:
        yield close
    if address and shown != address:
        yield _text(" (")
        if is_safe:
            yield begin
        yield _text(address)
        if is_safe:
            yield close
        yield _text(")")


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)
