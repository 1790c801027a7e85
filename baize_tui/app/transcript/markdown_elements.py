"""How Rich draws the blocks of an answer: headings, lists, tables, code."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cache
from itertools import zip_longest
from typing import ClassVar

from markdown_it.token import Token
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import (
    BlockQuote,
    CodeBlock,
    Heading,
    ListItem,
    Markdown,
    MarkdownElement,
    Paragraph,
    TableElement,
)
from rich.segment import Segment
from rich.style import Style
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from baize_tui.app.transcript.line_parts import (
    DECORATION,
    TAB,
    WrappedText,
    decoration,
    wrap,
)
from baize_tui.translation import msg, tr

_WORD, _BETWEEN_COLUMNS = 10, 3
"""Cells of the longest word that a column of a table must have room for, and between columns."""
COPY = msg("copy")
"""The word above a code block that copies it when clicked."""


class _Paragraph(Paragraph):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield WrappedText(self.text)


class _LeftHeading(Heading):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield WrappedText(self.text)


class _Quote(BlockQuote):
    """Lines with a bar at the left."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        inner = options.update(width=max(options.max_width - 4, 1))
        bar = decoration("▌ ", console.get_style("markdown.block_quote_bar"))
        for line in console.render_lines(self.elements, inner, style=self.style):
            yield bar
            yield from line
            yield Segment("\n")


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
        style = self.style + console.get_style("markdown.code_head")
        yield _fence_head(self.lexer_name, options.max_width, style, self.message_id, self.number)
        syntax = Syntax(
            "", self.lexer_name, theme=self.theme, word_wrap=True, background_color=background
        )
        code = syntax.highlight(str(self.text).rstrip("\n").expandtabs(TAB))
        code.remove_suffix("\n")  # Pygments adds one
        base = console.get_style(code.style)
        inner = max(options.max_width - 2, 1)
        for line in wrap(code, console, inner):
            yield decoration(" ", base)
            yield from Segment.adjust_line_length(list(line.render(console)), inner + 1, base)
            yield Segment("\n")


def _fence_head(language: str, width: int, style: Style, message_id: int, number: int) -> Text:
    copies = Style(meta={"@click": f"screen.copy_block({message_id}, {number})"})
    button = f" {tr(COPY)} "
    title = f" {language[: max(width - len(button) - 2, 0)]}"
    style += DECORATION
    head = Text(title, style, no_wrap=True, end="\n")
    head.append(" " * max(0, width - len(title) - len(button)), style)
    head.append(button, style + copies)
    return head


class _QuietTable(TableElement):
    """A table with a line below its head and no frame; cells are folded, never cut.

    Where the columns would be too narrow to read, each row is a list of its cells.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        header = self.header.row if self.header is not None else None
        heads = [cell.content.copy() for cell in header.cells] if header is not None else []
        for head in heads:
            head.stylize("markdown.table.header")
        body = self.body.rows if self.body is not None else []
        rows = [[cell.content for cell in row.cells] for row in body]
        if rows and _smallest_width([heads, *rows]) > options.max_width:
            yield from _row_lists(heads, rows)
            return
        table = Table(
            box=box.SIMPLE_HEAD, pad_edge=False, style="markdown.table.border", show_edge=False
        )
        for cell, head in zip(header.cells if header is not None else (), heads, strict=True):
            table.add_column(head, justify=cell.justify, overflow="fold")
        for row in rows:
            table.add_row(*row)
        yield table


def _smallest_width(rows: Sequence[Sequence[Text]]) -> int:
    """The cells that a table needs to be readable: whole words, except very long ones."""
    columns = zip_longest(*rows, fillvalue=Text())
    widths = [
        min(max(cell_len(word) for cell in column for word in [*cell.plain.split(), ""]), _WORD)
        for column in columns
    ]
    return sum(widths) + _BETWEEN_COLUMNS * (len(widths) - 1)


def _row_lists(heads: Sequence[Text], rows: Sequence[Sequence[Text]]) -> RenderResult:
    for number, row in enumerate(rows):
        if number:
            yield Text()
        for head, cell in zip_longest(heads, row, fillvalue=Text()):
            yield WrappedText(Text.assemble(head, ": " if head.plain else "", cell))


class MarkdownBlock(Markdown):
    """One top-level block of a text, already parsed."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "paragraph_open": _Paragraph,
        "heading_open": _LeftHeading,
        "blockquote_open": _Quote,
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
    return MarkdownBlock("", code_theme=code_theme)
