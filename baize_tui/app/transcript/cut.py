"""The line above the first message that the model still sees, with the summary of the others."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style

from baize_tui.app.transcript.line_parts import Line, as_decoration, decoration
from baize_tui.app.transcript.look import Look, estimate_height, join_parts, plain_lines
from baize_tui.app.transcript.turn import INDENT, Note
from baize_tui.measures import count_text
from baize_tui.translation import msg, tr

CUT = msg("── the model no longer sees the turns above ──")
CUT_EXCEPT_PINNED = msg("── of the turns above, the model sees only pinned ones ──")
CUT_SUMMARIZED = msg("── the model sees a summary of the turns above ──")
CUT_SUMMARIZED_EXCEPT_PINNED = msg("── the model sees pinned turns and a summary ──")
SUMMARY, EDITS = msg("summary"), msg("{key} edits")


class Cut(Note, eq=False, kw_only=True):
    """Where the context starts."""

    message_id: int
    """The first message that the model still sees."""
    summary: str
    """What it is told in place of the turns above; empty for nothing."""
    edit_key: str = ""
    """Name of the key that edits the summary."""
    unfolded: bool = False

    def draw(self, width: int, look: Look) -> list[Line]:
        lines = Note.draw(self, width, look)
        if not self.summary:
            return lines
        margin = decoration(" " * INDENT, look.text)
        inner = width - INDENT
        lines.append([margin, *self._title(inner, look)])
        if self.unfolded:
            bar = decoration("│ ", look.text + look.dim)
            text = plain_lines(self.summary, inner - 2, look, look.text + look.dim)
            lines += [[margin, bar, *line] for line in text]
        return lines

    def _title(self, width: int, look: Look) -> Line:
        words = count_text(len(self.summary.split()), "word")
        edits = tr(EDITS, key=self.edit_key) if self.edit_key else ""
        title = join_parts([f"{'▾' if self.unfolded else '▸'} {tr(SUMMARY)}", words, edits])
        style = look.text + look.dim + Style(meta={"@click": "screen.unfold_summary"})
        line = Segment.adjust_line_length([Segment(title, style)], width, look.text)
        return as_decoration([line])[0]

    def estimate(self, width: int) -> int:
        height = Note.estimate(self, width) + bool(self.summary)
        if self.summary and self.unfolded:
            height += estimate_height(self.summary, width - INDENT - 2)
        return height


def cut_text(*, pinned: bool, summarized: bool) -> str:
    """What the line says if turns above it are ``pinned``, and the others ``summarized``."""
    if summarized:
        return tr(CUT_SUMMARIZED_EXCEPT_PINNED) if pinned else tr(CUT_SUMMARIZED)
    return tr(CUT_EXCEPT_PINNED) if pinned else tr(CUT)
