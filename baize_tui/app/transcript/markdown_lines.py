"""Markdown as drawn lines, also while the text is still growing.

Rich draws each block once; only the last block of a growing text is drawn again. One widget with
lines in place of a tree of widgets keeps a conversation of thousands of turns scrolling, and leaves
the processor to the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.segment import Segment

from baize_tui.app.transcript.inline_marks import add_marks, drawable
from baize_tui.app.transcript.line_parts import Line
from baize_tui.app.transcript.look import Look, draw_lines, line_text
from baize_tui.app.transcript.markdown_elements import MarkdownBlock
from baize_tui.app.transcript.open_code_block import OpenCodeBlock

# HTML tags in an answer are text to read; Rich would leave them out.
_PARSER = add_marks(
    MarkdownIt("commonmark", {"html": False, "linkify": True}).enable(
        ["strikethrough", "table", "linkify"]
    )
)


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
    _open_code: OpenCodeBlock | None = None

    def __post_init__(self) -> None:
        self._console = self.look.console(self.width)

    def lines(self, source: str, *, complete: bool = False) -> list[Line]:
        """The lines of ``source``; ``complete`` says that it will not grow any more."""
        if complete or not source.startswith(self._source):
            self._drawn_to, self._drawn, self._fences = 0, [], 0
            self._open_code = None
        self._source = source
        tail = source[self._drawn_to :]
        if self._open_code is not None and self._open_code.is_open(tail):
            return [*self._drawn, *self._open_code.lines(tail)]
        self._open_code = None
        blocks = _parse_blocks(tail)
        last = len(blocks) if complete else len(blocks) - 1
        for block in blocks[:last]:
            self._drawn += self._draw(block)
            self._fences += block.fences
        if complete or not blocks:
            return _without_last_blank(self._drawn)
        if len(blocks) > 1:
            self._drawn_to += _offset_of_line(tail, blocks[-1].line)
            tail = source[self._drawn_to :]
        code = OpenCodeBlock.at_start(tail, self.look, self.width)
        if code is not None and code.is_open(tail):
            self._open_code = code
            return [*self._drawn, *code.lines(tail)]
        return [*self._drawn, *_without_last_blank(self._draw(blocks[-1]))]

    def _draw(self, block: _BlockTokens) -> list[Line]:
        drawn = MarkdownBlock.from_tokens(
            block.tokens, self.look.code_theme, self.message_id, self._fences
        )
        lines = draw_lines(drawn, self._console, self.look)
        if not block.fences:  # Rich puts blank lines around some blocks only
            while lines and not line_text(lines[0]).strip():
                del lines[0]
            while lines and not line_text(lines[-1]).strip():
                del lines[-1]
        return [*lines, [Segment(" " * self.width, self.look.text)]]


def _without_last_blank(lines: list[Line]) -> list[Line]:
    return lines[:-1] if lines else lines


@dataclass(frozen=True)
class _BlockTokens:
    """The tokens of one top-level block, and the line on which it begins."""

    tokens: list[Token]
    line: int

    @property
    def fences(self) -> int:
        return sum(token.type in ("fence", "code_block") for token in self.tokens)


def _parse_blocks(source: str) -> list[_BlockTokens]:
    blocks: list[_BlockTokens] = []
    current: list[Token] = []
    for token in drawable(_PARSER.parse(source)):
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"  # a line break of a model is meant as one
        current.append(token)
        if token.level == 0 and token.nesting <= 0:
            first = current[0].map
            blocks.append(_BlockTokens(current, first[0] if first else 0))
            current = []
    return blocks


def _offset_of_line(text: str, line: int) -> int:
    offset = 0
    for _ in range(line):
        offset = text.index("\n", offset) + 1
    return offset
