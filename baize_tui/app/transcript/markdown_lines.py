"""Markdown as finished lines, also while it still grows.

Rich draws each block once; only the last block of a growing text is drawn again. One widget with
lines instead of a tree of widgets is what makes a conversation of thousands of turns scroll, and
leaves the processor to the model.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich import box
from rich.cells import chop_cells
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

from baize_tui.app.transcript.look import TAB, Line, Look, lines_of, text_of

# Tags in an answer are text to read; Rich would leave them out.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])


class _LeftHeading(Heading):
    LEVEL_ALIGN = dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "left")


class _NumberedItem(ListItem):
    """``1. text``; Rich leaves out the point."""

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
    """A code block under a line with its language and a word to click that copies it."""

    number = 0
    message_id = 0

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> _Fence:
        made = cls((token.info or "").partition(" ")[0] or "text", markdown.code_theme)
        assert isinstance(markdown, _Block)
        made.number, made.message_id = markdown.take_fence_number(), markdown.message_id
        return made

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
    words = f" {language[: max(width - 8, 0)]}"
    copy = Style(dim=True, meta={"@click": f"screen.copy_block({message_id}, {number})"})
    head = Text(words, style + Style(dim=True), no_wrap=True, end="\n")
    head.append(" " * max(0, width - len(words) - 6), style)
    head.append(" copy ", style + copy)
    return head


class _QuietTable(TableElement):
    """A table with a line below its head and none around it."""

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


class _Block(Markdown):
    """One block of a text, already parsed; ``of`` makes more of the same look."""

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
    def of(cls, tokens: list[Token], code_theme: str, message_id: int, fence: int) -> _Block:
        """The block of ``tokens``, the first fence in it having the number ``fence``."""
        block = copy(_empty_block(code_theme))
        block.parsed, block.message_id, block.fence_number = tokens, message_id, fence
        return block

    def take_fence_number(self) -> int:
        self.fence_number += 1
        return self.fence_number - 1


@cache
def _empty_block(code_theme: str) -> _Block:
    # Making one compiles the patterns of a parser each time.
    return _Block("", code_theme=code_theme, hyperlinks=False)


@dataclass
class GrowingMarkdown:
    """The lines of a text that grows at its end, ``width`` cells wide."""

    look: Look
    width: int
    message_id: int = 0
    _source: str = ""
    _drawn_to: int = 0
    _drawn: list[Line] = field(default_factory=list)
    _fences: int = 0
    _open_fence: _OpenFence | None = None

    def __post_init__(self) -> None:
        self._console = self.look.console(self.width)

    def lines(self, source: str, *, whole: bool = False) -> list[Line]:
        """The lines of ``source``; ``whole`` says that no more comes."""
        if whole or not source.startswith(self._source):
            self._drawn_to, self._drawn, self._fences = 0, [], 0
            self._open_fence = None
        self._source = source
        tail = source[self._drawn_to :]
        if self._open_fence is not None and self._open_fence.still_open(tail):
            return [*self._drawn, *self._open_fence.lines(tail)]
        self._open_fence = None
        blocks = _blocks(tail)
        last = len(blocks) if whole else len(blocks) - 1
        for block in blocks[:last]:
            self._drawn += self._draw(block)
            self._fences += block.fences
        if whole or not blocks:
            return _without_last_blank(self._drawn)
        if len(blocks) > 1:
            self._drawn_to += _offset_of_line(tail, blocks[-1].line)
            tail = source[self._drawn_to :]
        growing = _OpenFence.at(tail, self.look, self.width)
        if growing is not None and growing.still_open(tail):
            self._open_fence = growing
            return [*self._drawn, *growing.lines(tail)]
        return [*self._drawn, *_without_last_blank(self._draw(blocks[-1]))]

    def _draw(self, block: _Tokens) -> list[Line]:
        drawn = _Block.of(block.tokens, self.look.code_theme, self.message_id, self._fences)
        lines = lines_of(drawn, self._console, self.look)
        if not block.fences:  # Rich stands some blocks off, others not
            while lines and not text_of(lines[0]).strip():
                del lines[0]
            while lines and not text_of(lines[-1]).strip():
                del lines[-1]
        return [*lines, [Segment(" " * self.width, self.look.text)]]


def _without_last_blank(lines: list[Line]) -> list[Line]:
    return lines[:-1] if lines else lines


@dataclass(frozen=True)
class _Tokens:
    """The tokens of one top-level block, and the line it begins on."""

    tokens: list[Token]
    line: int

    @property
    def fences(self) -> int:
        return sum(token.type in ("fence", "code_block") for token in self.tokens)


def _blocks(source: str) -> list[_Tokens]:
    blocks: list[_Tokens] = []
    current: list[Token] = []
    for token in _PARSER.parse(source):
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"  # a model that breaks a line means it
        current.append(token)
        if token.level == 0 and token.nesting <= 0:
            first = current[0].map
            blocks.append(_Tokens(current, first[0] if first else 0))
            current = []
    return blocks


def _offset_of_line(text: str, line: int) -> int:
    offset = 0
    for _ in range(line):
        offset = text.index("\n", offset) + 1
    return offset


@dataclass
class _OpenFence:
    """A code block whose end has not come: plain lines, each cut to width once."""

    mark: str
    head: str
    look: Look
    width: int
    _seen: int = 0
    _lines: list[Line] = field(default_factory=list)

    @classmethod
    def at(cls, text: str, look: Look, width: int) -> _OpenFence | None:
        """The fence that ``text`` begins with, where it does."""
        head, newline, _ = text.partition("\n")
        bare = head.lstrip(" ")
        for char in "`~":
            length = len(bare) - len(bare.lstrip(char))
            if length >= 3 and newline:
                info = bare[length:].strip().partition(" ")[0]
                made = cls(char * length, head + newline, look, width)
                style = look.text + look.code
                words = f" {(info or 'text')[: max(width - 2, 0)]}".ljust(width)
                made._lines = [[Segment(words, style + Style(dim=True))]]
                made._seen = len(made.head)
                return made
        return None

    def still_open(self, text: str) -> bool:
        """Whether no line of ``text`` after those seen closes the fence."""
        if not text.startswith(self.head):
            return False
        return not any(
            line.strip().startswith(self.mark) and not line.strip().strip(self.mark[0])
            for line in text[self._seen :].splitlines()
        )

    def lines(self, text: str) -> list[Line]:
        end = text.rfind("\n") + 1
        if end > self._seen:
            for line in text[self._seen : end].splitlines():
                self._lines += self._wrapped(line)
            self._seen = end
        rest = text[self._seen :]
        return [*self._lines, *(self._wrapped(rest) if rest else [])]

    def _wrapped(self, line: str) -> list[Line]:
        style = self.look.text + self.look.code
        inner = max(self.width - 2, 1)
        pieces = chop_cells(line.expandtabs(TAB), inner) or [""]
        return [
            Segment.adjust_line_length([Segment(f" {piece}", style)], self.width, style)
            for piece in pieces
        ]
