"""A message as HTML: Markdown and code with colours, and nothing in it that acts or loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

_SCHEMES = ("http", "https", "mailto")
"""Links that may be clicked. Others stay text: a relative one means a file of whoever reads it."""
_MOST_COLOURED = 50_000
"""Characters of a code block; Pygments takes long for more, whatever is in it."""
_MOST_MARKDOWN = 100_000
"""Characters of a message that is drawn as Markdown; an opening bracket in each takes seconds."""
_STYLES = {"light": "default", "dark": "native"}
"""Styles of Pygments, by colour scheme."""


def plain_html(text: str) -> str:
    """``text`` as it is, with its line ends."""
    return f'<p class="plain">{escape(text)}</p>'


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
    parser.validateLink = _may_link  # type: ignore[method-assign]
    for name, rule in (
        ("fence", _draw_fence),
        ("code_block", _draw_fence),
        ("image", _draw_image),
        ("link_open", _open_link),
    ):
        parser.add_render_rule(name, rule)
    return parser


def markdown_html(text: str) -> str:
    """Markdown as HTML. HTML in it is text, and a picture is a link to it; a very long text stays
    as it is."""
    if len(text) > _MOST_MARKDOWN:
        return plain_html(text)
    html = _parser().render(text)
    assert isinstance(html, str)
    return html


def _may_link(url: str) -> bool:
    try:
        return urlsplit(url.strip()).scheme.lower() in _SCHEMES
    except ValueError:
        return False


def _draw_fence(
    self: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> str:
    token = tokens[index]
    words = token.info.split()
    code = code_html(token.content, words[0] if words else "")
    return f'<pre class="code"><code>{code}</code></pre>\n'


def _draw_image(
    self: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> str:
    """A link: a picture would be loaded, and tell its server that the page is read."""
    token = tokens[index]
    text = escape(f"picture: {token.content}" if token.content else "picture")
    target = escape(str(token.attrs.get("src", "")))
    return f'<a href="{target}" rel="noopener noreferrer nofollow">{text}</a>'


def _open_link(
    self: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    return self.renderToken(tokens, index, options, environment)  # type: ignore[arg-type]


def code_html(code: str, language: str) -> str:
    """``code`` with the classes of Pygments, if it knows the language."""
    # Imported when used: it reads the list of all its languages.
    from pygments import highlight
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    if not language or len(code) > _MOST_COLOURED:
        return escape(code)
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return escape(code)
    coloured = highlight(code, lexer, HtmlFormatter(nowrap=True))
    return str(coloured)


@cache
def code_styles() -> str:
    """CSS for the classes, in light and dark."""
    return "\n".join(
        f"@media (prefers-color-scheme: {scheme}) {{\n{_style_rules(style)}\n}}"
        for scheme, style in _STYLES.items()
    )


def _style_rules(style: str) -> str:
    from pygments.formatters.html import HtmlFormatter

    return "\n".join(HtmlFormatter(style=style).get_token_style_defs([".code"]))
