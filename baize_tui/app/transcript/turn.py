"""What stands in a transcript: turns, and lines between them; drawn when they come in sight."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style

from baize_tui.app.transcript.look import Line, Look, join_words, plain_lines, wrapped_height

if TYPE_CHECKING:
    from baize_tui.app.transcript.markdown_lines import GrowingMarkdown
    from baize_tui.store.records import Message

STATE_NOTES = {
    "stopped": ("stopped", "go_on", "goes on"),
    "interrupted": ("interrupted", "go_on", "goes on"),
    "failed": ("failed", "again", "answers again"),
}
"""Beside an answer that is not whole: its state, and the action that helps."""
FOLDED_LINES = 12
LONGEST_UNFOLDED = 30
"""A message of more lines, as wrapped in 80 cells, is folded to ``FOLDED_LINES`` of them."""
INDENT = 2


@dataclass(eq=False, kw_only=True)
class Entry:
    """Lines of their own height, with a blank one below; ``lines`` is None until they are drawn,
    and ``height`` an estimate until then."""

    lines: list[Line] | None = None
    height: int = 0

    def draw(self, width: int, look: Look) -> list[Line]:
        raise NotImplementedError

    def estimate(self, width: int) -> int:
        raise NotImplementedError


@dataclass(eq=False, kw_only=True)
class Note(Entry):
    """A text of the client itself; ``kind`` is "head", "welcome", "cut" or "problem"."""

    text: str
    kind: str

    def draw(self, width: int, look: Look) -> list[Line]:
        style = {"problem": look.problem, "welcome": look.text}.get(self.kind, look.dim)
        lines = plain_lines(self.text, min(width, 76) - INDENT, look, style)
        blank = [Segment(" " * INDENT, look.text)]
        return [[*blank, *line] for line in lines]

    def estimate(self, width: int) -> int:
        return wrapped_height(self.text, width - INDENT) + 1


@dataclass(eq=False, kw_only=True)
class Turn(Entry):
    """One message: the person's as it was written, the model's as Markdown."""

    message: Message
    branch: tuple[int, int] | None = None
    chosen: bool = False
    unfolded: bool = False
    unfold_reasoning: bool = False
    thinking: bool = False
    growing: bool = False
    keys: dict[str, str] = field(default_factory=dict)
    """Names of the keys of actions, for the notes that name one."""
    _markdown: GrowingMarkdown | None = None

    @property
    def text(self) -> str:
        """The text on the screen, as Markdown source."""
        if self.message.role == "user":
            return self.message.text.strip()
        return self.message.text.lstrip()

    @property
    def lies_folded(self) -> bool:
        return (
            self.message.role == "user"
            and not self.unfolded
            and wrapped_height(self.text, 80) > LONGEST_UNFOLDED
        )

    def estimate(self, width: int) -> int:
        lines = FOLDED_LINES + 1 if self.lies_folded else wrapped_height(self.text, width - INDENT)
        return lines + bool(self.message.reasoning) + bool(self._note()) + bool(self.branch) + 1

    def draw(self, width: int, look: Look) -> list[Line]:
        if self.chosen:
            look = _on(look, look.chosen)
        inner = width - INDENT
        if self.message.role == "user":
            lines = [*self._question(inner, look), *self._below(inner, look)]
        else:
            lines = [
                *self._reasoning(inner, look),
                *self._answer(inner, look),
                *self._below(inner, look),
            ]
        bar = "█ " if self.chosen else "▌ " if self.message.role == "user" else "  "
        margin = Segment(bar, look.text + look.accent)
        return [[margin, *line] for line in lines]

    def _question(self, width: int, look: Look) -> list[Line]:
        if not self.lies_folded:
            return plain_lines(self.text, width, look, look.text)
        lines = self.text.split("\n")
        # No more than what may be seen of it: a pasted line can be a megabyte.
        begin = "\n".join(lines[:FOLDED_LINES])[: width * FOLDED_LINES]
        more = (
            f"{len(lines) - FOLDED_LINES} more lines"
            if len(lines) > LONGEST_UNFOLDED
            else f"{len(self.text)} characters"
        )
        fold = f"… {more} · {self._key('unfold')} unfolds"
        return [
            *plain_lines(begin, width, look, look.text)[:FOLDED_LINES],
            self._line(fold, width, look, look.dim, "unfold"),
        ]

    def _answer(self, width: int, look: Look) -> list[Line]:
        # Imported when the first answer is drawn: it costs a start without one 40 ms.
        from baize_tui.app.transcript.markdown_lines import GrowingMarkdown

        known = self._markdown
        if known is None or known.width != width or known.look != look:
            known = self._markdown = GrowingMarkdown(look, width, self.message.id)
        lines = known.lines(self.text, whole=not self.growing)
        if not self.growing:
            self._markdown = None  # drawn for good: its lines are all that is kept
        return lines

    def _reasoning(self, width: int, look: Look) -> list[Line]:
        reasoning = self.message.reasoning
        if not reasoning and not self.thinking:
            return []
        word = "thinking" if self.thinking else "thought"
        said = f"{'▾' if self.unfold_reasoning else '▸'} {word} · {len(reasoning.split())} words"
        lines = [self._line(said, width, look, look.dim, "unfold")]
        if self.unfold_reasoning and reasoning:
            bar = Segment("│ ", look.text + look.dim)
            inner = plain_lines(reasoning, width - 2, look, look.text + look.dim)
            lines += [[bar, *line] for line in inner]
        lines.append(self._line("", width, look, look.dim))
        return lines

    def _key(self, action: str) -> str:
        return self.keys.get(action, "")

    def _note(self) -> str:
        message = self.message
        words = []
        if message.state in STATE_NOTES and not self.growing:
            state, action, does = STATE_NOTES[message.state]
            words += [state, f"{self._key(action)} {does}"]
        words.append({"good": "▲ good", "bad": "▼ bad", None: ""}[message.mark])
        words.append("pinned" if message.pinned else "")
        return join_words(words)

    def _below(self, width: int, look: Look) -> list[Line]:
        lines = []
        if note := self._note():
            style = look.warning if self.message.state in STATE_NOTES else look.dim
            lines.append(self._line(note, width, look, style))
        if self.branch is not None:
            place, count = self.branch
            lines.append(
                _padded(
                    [
                        Segment("‹ ", _clickable(look, f"screen.walk({self.message.id}, -1)")),
                        Segment(f"{place}/{count}", look.text + look.dim),
                        Segment(" ›", _clickable(look, f"screen.walk({self.message.id}, 1)")),
                    ],
                    width,
                    look,
                )
            )
        return lines

    def _line(
        self, text: str, width: int, look: Look, style: Style, action: str | None = None
    ) -> Line:
        style = look.text + style
        if action is not None:
            style += Style(meta={"@click": f"screen.{action}_of({self.message.id})"})
        return _padded([Segment(text[:width], style)], width, look)


def _clickable(look: Look, action: str) -> Style:
    return look.text + look.accent + Style(meta={"@click": action})


def _padded(segments: list[Segment], width: int, look: Look) -> Line:
    return Segment.adjust_line_length(segments, width, look.text)


def _on(look: Look, background: Style) -> Look:
    return replace(look, text=look.text + background)
