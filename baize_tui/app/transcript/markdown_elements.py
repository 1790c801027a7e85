"""How Rich draws the blocks of an answer: headings, lists, tables, code."""

from __future__ import annotations

from copy import copy
from functools import cache
from typing import ClassVar

from markdown_it.token import Token
from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import (
    CodeBlock,
    Heading,
    ListItem,
    Markdown,
    MarkdownElement,
    TableElement,
)
from rich.segment import Segment
from rich.style import Style
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from baize_tui.app.transcript.look import TAB

COPY = "copy"
"""The word above a code block that copies it when clicked."""


class _LeftHeading(Heading):
    LEVEL_ALIGN = dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "left")


class _NumberedItem(ListItem):
    """``1. text``; Rich leaves out the dot."""

    def render_number(
        self, console: Console, options: ConsoleOptions, number: int, last_number: int
    ) -> RenderResult:
        digits = len(str(last_number))
        mark = Segment(f" {number:>{digits}}. ", console.get_style("markdown.item.number"))
        inner = options.update(width=max(options.max_width - digits - 3, 1))
        lines = console.render_lines(self.elements, inner, style=self.style)
        for place, line in enumerate(lines):
            yield mark if place == 0 else Segment(" " * (digits + 3))
            yield from line
            yield Segment("\n")


class _Fence(CodeBlock):
    """A code block under a line with its language and a word that copies it when clicked."""

    number = 0
    message_id = 0

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> _Fence:
        fence = cls((token.info or "").partition(" ")[0] or "text", markdown.code_theme)
        assert isinstance(markdown, MarkdownBlock)
        fence.number, fence.message_id = markdown.take_fence_number(), markdown.message_id
        return fence

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        background = self.style.bgcolor.name if self.style.bgcolor is not None else None
        yield _fence_head(
            self.lexer_name, options.max_width, self.style, self.message_id, self.number
        )
        yield Syntax(
            str(self.text).rstrip("\n"),
            self.lexer_name,
            theme=self.theme,
            word_wrap=True,
            padding=(0, 1),
            tab_size=TAB,
            background_color=background,
        )


def _fence_head(language: str, width: int, style: Style, message_id: int, number: int) -> Text:
    copies = Style(dim=True, meta={"@click": f"screen.copy_block({message_id}, {number})"})
    button = f" {COPY} "
    title = f" {language[: max(width - len(button) - 2, 0)]}"
    head = Text(title, style + Style(dim=True), no_wrap=True, end="\n")
    head.append(" " * max(0, width - len(title) - len(button)), style)
    head.append(button, style + copies)
    return head


class _QuietTable(TableElement):
    """A table with a line below its head and no frame."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(
            box=box.SIMPLE_HEAD, pad_edge=False, style="markdown.table.border", show_edge=False
        )
        if self.header is not None and self.header.row is not None:
            for column in self.header.row.cells:
                heading = column.content.copy()
                heading.stylize("markdown.table.header")
                table.add_column(heading, justify=column.justify)
        if self.body is not None:
            for row in self.body.rows:
                table.add_row(*(cell.content for cell in row.cells))
        yield table


class MarkdownBlock(Markdown):
    """One top-level block of a text, already parsed."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _LeftHeading,
        "fence": _Fence,
        "code_block": _Fence,
        "table_open": _QuietTable,
        "list_item_open": _NumberedItem,
    }

    message_id = 0
    fence_number = 0

    @classmethod
    def from_tokens(
        cls, tokens: list[Token], code_theme: str, message_id: int, fence: int
    ) -> MarkdownBlock:
        """The block of ``tokens``; its first code block is number ``fence`` of the message."""
        block = copy(_empty_block(code_theme))
        block.parsed, block.message_id, block.fence_number = tokens, message_id, fence
        return block

    def take_fence_number(self) -> int:
        self.fence_number += 1
        return self.fence_number - 1


@cache
def _empty_block(code_theme: str) -> MarkdownBlock:
    # Copied for each block: the constructor compiles a parser's patterns each time.
    return MarkdownBlock("", code_theme=code_theme, hyperlinks=False)
