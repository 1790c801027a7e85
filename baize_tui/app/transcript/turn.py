"""The entries of a transcript: turns, and the client's own notes between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from baize_tui.app.transcript.answer_line import answer_line
from baize_tui.app.transcript.chips import chips_as_text, short_text
from baize_tui.app.transcript.line_parts import Line, as_decoration, decoration
from baize_tui.app.transcript.look import (
    BETWEEN_PARTS,
    Look,
    estimate_height,
    join_parts,
    plain_lines,
)
from baize_tui.measures import count_text, duration_text
from baize_tui.output_forms import form_text
from baize_tui.translation import msg, tr

if TYPE_CHECKING:
    from baize_tui.app.transcript.markdown_lines import GrowingMarkdown
    from baize_tui.store.records import (
        AnswerSummary,
        BranchPosition,
        Mark,
        Message,
        MessageState,
    )

STATE_NOTES: dict[MessageState, tuple[str, str, str]] = {
    "stopped": (msg("stopped"), "go_on", msg("{key} continues")),
    "interrupted": (msg("interrupted"), "go_on", msg("{key} continues")),
    "failed": (msg("failed"), "again", msg("{key} regenerates")),
}
"""By the state of an answer that is incomplete: the state's name, the id of the action that helps,
and what this action does."""
MARK_NOTES: dict[Mark | None, str] = {"good": msg("▲ good"), "bad": msg("▼ bad"), None: ""}
PINNED, UNFOLDS, THINKING, THOUGHT = (
    msg("pinned"),
    msg("{key} unfolds"),
    msg("thinking"),
    msg("thought"),
)
FOLDED_LINES, LAST_LINES = 12, 4
LONGEST_UNFOLDED = 30
"""A message with more lines, wrapped at 80 cells, is folded to ``FOLDED_LINES`` lines. The last
``LAST_LINES`` of them are from its end: below a pasted text, the question is there."""
NO_ANSWER = msg("no answer after the thought")
ANSWER_AS = msg("answer: {form}")
INDENT = 2
NOTE_WIDTH = 76

NoteKind = Literal["head", "cut", "problem"]


class Entry(Struct, eq=False, kw_only=True):
    """Some lines. Until they are drawn, ``lines`` is None and ``height``, which includes the blank
    line below the entry, an estimate."""

    lines: list[Line] | None = None
    height: int = 0
    address: int | None = None
    """The address of its first line; see ``Layout``. None until it is laid out."""

    def draw(self, width: int, look: Look) -> list[Line]:
        """The lines, ``width`` cells wide at most."""
        raise NotImplementedError

    def estimate(self, width: int) -> int:
        """About how high it is when drawn, with the blank line below."""
        raise NotImplementedError


class Note(Entry, eq=False, kw_only=True):
    """A text of the client itself."""

    text: str
    kind: NoteKind

    def draw(self, width: int, look: Look) -> list[Line]:
        style = look.problem if self.kind == "problem" else look.dim
        lines = plain_lines(self.text, min(width, NOTE_WIDTH) - INDENT, look, style)
        margin = decoration(" " * INDENT, look.text)
        return [[margin, *line] for line in lines]

    def estimate(self, width: int) -> int:
        return estimate_height(self.text, width - INDENT) + 1


class Turn(Entry, eq=False, kw_only=True):
    """One message: the person's as plain text, the model's as Markdown."""

    message: Message
    branch: BranchPosition | None = None
    """None if the message has no siblings."""
    selected: bool = False
    unfolded: bool = False
    unfold_reasoning: bool = False
    thinking: bool = False
    growing: bool = False
    is_json: bool = False
    """Whether the question has asked for JSON."""
    keys: dict[str, str] = {}
    """Names of the keys of actions, for notes that mention one."""
    _markdown: GrowingMarkdown | None = None

    @property
    def text(self) -> str:
        """The text on the screen, as Markdown source."""
        if self.message.role == "user":
            return self.message.text.strip()
        return self.message.text.lstrip()

    @property
    def markdown(self) -> str:
        """The text as it is drawn: an answer in JSON is a code block."""
        made = self.message.made
        form = made.form if made is not None else None
        if self.message.role == "user" or not (form.is_json if form is not None else self.is_json):
            return self.text
        end = "" if self.growing else "\n```"
        return f"```json\n{self.text.rstrip()}{end}"

    @property
    def can_fold(self) -> bool:
        """Whether it has attachments, or is long without their texts."""
        if self.message.role != "user":
            return False
        return bool(self.message.attachments) or self._is_long

    @property
    def is_folded(self) -> bool:
        return self.can_fold and not self.unfolded

    @property
    def _is_long(self) -> bool:
        return estimate_height(self._short, 80) > LONGEST_UNFOLDED

    @property
    def _short(self) -> str:
        return short_text(self.message) if self.message.attachments else self.text

    def estimate(self, width: int) -> int:
        if self.is_folded and self._is_long:
            lines = FOLDED_LINES + 1
        else:
            text = self._short if self.is_folded else self.text
            lines = estimate_height(text, width - INDENT)
        return lines + bool(self.message.reasoning) + bool(self._note()) + self._has_details + 1

    def draw(self, width: int, look: Look) -> list[Line]:
        if self.selected:
            look = replace(look, text=look.text + look.selected)
        inner = width - INDENT
        if self.message.role == "user":
            lines = [*self._question(inner, look), *self._below(inner, look)]
        else:
            lines = [
                *self._reasoning(inner, look),
                *self._answer(inner, look),
                *self._below(inner, look),
            ]
        bar = "█ " if self.selected else "▌ " if self.message.role == "user" else "  "
        margin = decoration(bar, look.text + look.accent)
        return [[margin, *line] for line in lines]

    def _question(self, width: int, look: Look) -> list[Line]:
        if not self.is_folded:
            return plain_lines(self.text, width, look, look.text)
        if not self._is_long:
            click = Style(meta={"@click": f"screen.unfold_message({self.message.id})"})
            text = chips_as_text(self.message, look.accent + click)
            return plain_lines(text, width, look, look.text)
        short = self._short
        lines = short.split("\n")
        # No more than can be in sight: a pasted line can be a megabyte.
        first = FOLDED_LINES - LAST_LINES
        begin = "\n".join(lines[:first])[: width * first]
        end = "\n".join(lines[-LAST_LINES:])[-width * LAST_LINES :]
        more = (
            count_text(len(lines) - FOLDED_LINES, "more line")
            if len(lines) > LONGEST_UNFOLDED
            else count_text(len(short), "character")
        )
        fold = f"… {more} · {tr(UNFOLDS, key=self._key('unfold'))}"
        return [
            *plain_lines(begin, width, look, look.text)[:first],
            self._line(fold, width, look, look.dim, unfolds=True),
            *plain_lines(end, width, look, look.text)[-LAST_LINES:],
        ]

    def _answer(self, width: int, look: Look) -> list[Line]:
        # Imported when the first answer is drawn: otherwise it would cost every start 40 ms.
        from baize_tui.app.transcript.markdown_lines import GrowingMarkdown

        markdown = self._markdown
        if markdown is None or markdown.width != width or markdown.look != look:
            markdown = self._markdown = GrowingMarkdown(look, width, self.message.id)
        lines = markdown.lines(self.markdown, complete=not self.growing)
        if not self.growing:
            self._markdown = None  # complete: only its lines are kept
        return lines

    def _reasoning(self, width: int, look: Look) -> list[Line]:
        reasoning = self.message.reasoning
        if not reasoning and not self.thinking:
            return []
        word = tr(THINKING) if self.thinking else tr(THOUGHT)
        if self._made is not None and (seconds := self._made.thinking_seconds):
            word = tr("thought for {duration}", duration=duration_text(seconds))
        count = count_text(len(reasoning.split()), "word")
        title = f"{'▾' if self.unfold_reasoning else '▸'} {word} · {count}"
        lines = as_decoration([self._line(title, width, look, look.dim, unfolds=True)])
        blank = [self._line("", width, look, look.dim)]
        if not self.unfold_reasoning or not reasoning:
            return [*lines, *as_decoration(blank)]
        bar = decoration("│ ", look.text + look.dim)
        inner = plain_lines(reasoning, width - 2, look, look.text + look.dim)
        return [*lines, *([bar, *line] for line in inner), *blank]

    def _key(self, action: str) -> str:
        return self.keys.get(action, "")

    def _note(self) -> str:
        message = self.message
        parts = []
        if not self.growing:
            if message.role == "assistant" and message.reasoning and not message.text.strip():
                parts.append(tr(NO_ANSWER))
            if message.state in STATE_NOTES:
                state, action, effect = STATE_NOTES[message.state]
                parts += [tr(state), tr(effect, key=self._key(action))]
            elif parts:
                parts.append(tr("{key} continues", key=self._key("go_on")))
            if message.form is not None:
                parts.append(tr(ANSWER_AS, form=form_text(message.form)))
            if (made := message.made) is not None and made.form is not None and made.form.problem:
                parts.append(f"✗ {form_text(made.form)}: {made.form.problem_text}")
        return join_parts(parts)

    def _below(self, width: int, look: Look) -> list[Line]:
        lines = []
        if note := self._note():
            is_warning = self.message.state in STATE_NOTES or self._has_wrong_form
            style = look.warning if is_warning else look.dim
            lines += as_decoration(plain_lines(note, width, look, look.text + style))
        if self._has_details:
            lines += as_decoration([_padded(self._details(width, look), width, look)])
        return lines

    @property
    def _marks(self) -> str:
        pinned = tr(PINNED) if self.message.pinned else ""
        form = self._made.form if self._made is not None else None
        valid = f"✓ {form_text(form)}" if form is not None and not form.problem else ""
        return join_parts([tr(MARK_NOTES[self.message.mark]), pinned, valid])

    @property
    def _has_wrong_form(self) -> bool:
        form = self._made.form if self._made is not None else None
        return form is not None and bool(form.problem)

    @property
    def _made(self) -> AnswerSummary | None:
        return None if self.growing else self.message.made

    @property
    def _has_details(self) -> bool:
        """Whether there is a line for how it was made, its branch and its marks."""
        return bool(self._made or self.branch or self._marks)

    def _details(self, width: int, look: Look) -> list[Segment]:
        """How the answer was made, as far as there is room beside its branch and its marks."""
        dim, id = look.text + look.dim, self.message.id
        parts: list[list[Segment]] = []
        if self.branch is not None:
            position, total = self.branch
            back = Segment("‹ ", _clickable(look, f"screen.show_sibling({id}, -1)"))
            on = Segment(" ›", _clickable(look, f"screen.show_sibling({id}, 1)"))
            parts.append([back, Segment(f"{position}/{total}", dim), on])
        if self._marks:
            parts.append([Segment(self._marks, dim)])
        if (made := self._made) is not None:
            taken = sum(cell_len(segment.text) for part in parts for segment in part)
            line = answer_line(made, width - taken - len(parts) * cell_len(BETWEEN_PARTS))
            has_dialog = bool(self._key("details"))
            click = Style(meta={"@click": f"screen.show_details({id})"} if has_dialog else None)
            parts[:0] = [[Segment(line, dim + click)]] if line else []
        between = Segment(BETWEEN_PARTS, dim)
        return [segment for part in parts for segment in (between, *part)][1:]

    def _line(
        self, text: str, width: int, look: Look, style: Style, *, unfolds: bool = False
    ) -> Line:
        """A line of one style; with ``unfolds``, a click on it unfolds or folds the turn."""
        style = look.text + style
        if unfolds:
            style += Style(meta={"@click": f"screen.unfold_message({self.message.id})"})
        return _padded([Segment(text[:width], style)], width, look)


def _clickable(look: Look, action: str) -> Style:
    return look.text + look.accent + Style(meta={"@click": action})


def _padded(segments: list[Segment], width: int, look: Look) -> Line:
    return Segment.adjust_line_length(segments, width, look.text)
