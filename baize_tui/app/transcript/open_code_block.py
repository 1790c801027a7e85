"""A code block that is still growing."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.cells import chop_cells
from rich.segment import Segment

from baize_tui.app.transcript.line_parts import TAB, Line, continues, decoration
from baize_tui.app.transcript.look import Look


@dataclass
class OpenCodeBlock:
    """A code block without its end: plain lines, each wrapped once."""

    fence: str
    """The characters that open it, such as three backticks; as many close it."""
    head: str
    """Its first line, with the line end."""
    look: Look
    width: int
    _seen: int = 0
    _lines: list[Line] = field(default_factory=list)

    @classmethod
    def at_start(cls, text: str, look: Look, width: int) -> OpenCodeBlock | None:
        """The code block that ``text`` begins with; None if it begins with something else."""
        head, newline, _ = text.partition("\n")
        bare = head.lstrip(" ")
        for char in "`~":
            length = len(bare) - len(bare.lstrip(char))
            if length >= 3 and newline:
                info = bare[length:].strip().partition(" ")[0]
                block = cls(char * length, head + newline, look, width)
                style = look.text + look.code
                title = f" {(info or 'text')[: max(width - 2, 0)]}".ljust(width)
                block._lines = [[decoration(title, style + look.dim)]]
                block._seen = len(block.head)
                return block
        return None

    def is_open(self, text: str) -> bool:
        """Whether no line of ``text`` closes it; lines already drawn are not checked again."""
        if not text.startswith(self.head):
            return False
        return not any(
            line.strip().startswith(self.fence) and not line.strip().strip(self.fence[0])
            for line in text[self._seen :].splitlines()
        )

    def lines(self, text: str) -> list[Line]:
        """The lines of ``text``, which has grown at its end."""
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
        margin = decoration(" ", style)
        pieces = chop_cells(line.expandtabs(TAB), inner) or [""]
        drawn = [
            Segment(piece, style + continues("") if number else style)
            for number, piece in enumerate(pieces)
        ]
        return [Segment.adjust_line_length([margin, part], self.width, style) for part in drawn]
