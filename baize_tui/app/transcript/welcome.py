"""What an empty conversation shows in place of turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from baize_tui.app.transcript.line_parts import Line, WrappedText, decoration
from baize_tui.app.transcript.look import Look, draw_lines, estimate_height
from baize_tui.app.transcript.turn import INDENT, NOTE_WIDTH, Entry

ParagraphKind = Literal["name", "model", "text", "dim", "warning"]
BULLET = "› "
_GAP = 2
"""Cells between a key and what it does."""


class Paragraph(Struct, frozen=True):
    """A text; a blank line is above it unless it is ``joined`` to the one before."""

    text: str
    kind: ParagraphKind = "text"
    joined: bool = False


class WelcomeContents(Struct, frozen=True):
    """The texts of a welcome."""

    paragraphs: tuple[Paragraph, ...]
    keys: tuple[tuple[str, str], ...] = ()
    """Keys and what they do."""
    examples_title: str = ""
    examples: tuple[str, ...] = ()
    """Questions to begin with."""

    @property
    def lines(self) -> list[tuple[str, ParagraphKind]]:
        """All lines, before they are wrapped."""
        lines: list[tuple[str, ParagraphKind]] = []
        for paragraph in self.paragraphs:
            if lines and not paragraph.joined:
                lines.append(("", "text"))
            lines.append((paragraph.text, paragraph.kind))
        return lines


class Welcome(Entry, eq=False, kw_only=True):
    """The welcome, drawn: a name, paragraphs, keys in a column, examples that can be clicked."""

    contents: WelcomeContents

    @property
    def text(self) -> str:
        """All of it as plain text."""
        contents = self.contents
        keys = (f"{key} {what}" for key, what in contents.keys)
        lines = [line for line, _ in contents.lines]
        return "\n".join([*lines, *keys, contents.examples_title, *contents.examples])

    def draw(self, width: int, look: Look) -> list[Line]:
        room = min(width, NOTE_WIDTH) - INDENT
        styles = {
            "name": look.accent + Style(bold=True),
            "model": look.text + Style(bold=True),
            "text": look.text,
            "dim": look.dim,
            "warning": look.warning,
        }
        contents = self.contents
        texts = [Text(line, styles[kind]) for line, kind in contents.lines]
        if contents.keys:
            texts += [Text(), *_key_rows(contents.keys, look)]
        if contents.examples:
            texts += [Text(), Text(contents.examples_title, look.dim)]
            texts += [_example(number, text, look) for number, text in enumerate(contents.examples)]
        margin = decoration(" " * INDENT, look.text)
        console = look.console(room)
        lines = (line for text in texts for line in draw_lines(WrappedText(text), console, look))
        return [[margin, *line] for line in lines]

    def estimate(self, width: int) -> int:
        return estimate_height(self.text, width - INDENT) + 4


def _key_rows(keys: Sequence[tuple[str, str]], look: Look) -> list[Text]:
    widest = max(cell_len(key) for key, _ in keys) + _GAP
    return [
        Text.assemble((f"{key:<{widest}}", look.accent), (what, look.text)) for key, what in keys
    ]


def _example(number: int, text: str, look: Look) -> Text:
    click = Style(meta={"@click": f"screen.use_example({number})"})
    return Text.assemble((BULLET, look.accent), (text, look.text + click))
