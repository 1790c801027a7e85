"""What the plain client prints: whole lines, and answers word by word. Nothing is overwritten."""

from __future__ import annotations

import sys
import time

from baize_shared.sanitizer import clean_text
from baize_tui.chat.events import (
    AnswerFailed,
    AnswerFinished,
    AnswerText,
    ChatEvent,
    LoadingModel,
    SaveFailed,
    Summarizing,
    TurnsDropped,
    WordsLeave,
)
from baize_tui.engine.protocol import Prefilling
from baize_tui.measures import count_text
from baize_tui.output_forms import form_text
from baize_tui.store.draft_parts import short_text
from baize_tui.store.records import MARK_NAMES, BranchPosition, Message
from baize_tui.translation import msg, tr

_FIRST_PROGRESS_S, _PROGRESS_EVERY_S = 3.0, 10.0
WAS_THOUGHT = msg("what was printed so far was the thought of the model, not its answer")
ONLY_THOUGHT = msg("the model thought, and gave no answer; /thought prints the thought")
WITH_SPEED = msg("{tokens}, {speed} a second")
_ENDED = {
    "length": msg(
        "cut off: an answer may have no more tokens (chat.max_tokens). /go-on continues it"
    ),
    "context": msg("cut off: the context is full"),
    "cancelled": msg("stopped. /go-on continues it"),
}


class PlainPrinter:
    """Prints to stdout; ``turn`` is the number of the turn that is printed, from 1."""

    def __init__(self) -> None:
        self._open_line = False
        """Whether the last line has no end yet."""
        self._shown = 0
        """Characters of the answer that were printed."""
        self._began = self._last_progress = 0.0
        self._thinking = False
        self._loading = ""

    def line(self, text: str = "") -> None:
        """Print whole lines."""
        self._end_line()
        self._write(text + "\n")

    def prompt(self, turn: int) -> None:
        """Say that turn ``turn`` waits for its question, on a line that the person continues."""
        self._end_line()
        self._write(f"\n{turn} {tr('You')}: ")
        self._open_line = True

    def person_ended_line(self) -> None:
        """The terminal has echoed what the person typed, with its line end."""
        self._open_line = False

    def question(self, text: str) -> None:
        """Print a question that no terminal has echoed, after its prompt."""
        self._write(text + "\n")
        self._open_line = False

    def message(
        self, turn: int, message: Message, name: str, branch: BranchPosition | None
    ) -> None:
        """Print a saved message of turn ``turn``; ``name`` is who wrote it."""
        notes = []
        if branch is not None and branch.total > 1:
            notes.append(tr("version {done} of {total}", done=branch.position, total=branch.total))
        if message.mark is not None:
            notes.append(tr("marked as {mark}", mark=tr(MARK_NAMES[message.mark])))
        note = f" ({', '.join(notes)})" if notes else ""
        self.line(f"{turn} {name}{note}: {short_text(message).strip()}")

    # --- one answer -----------------------------------------------------------------------------

    def begin_answer(self, turn: int, name: str, continued: str = "") -> None:
        """An answer to turn ``turn`` by the model ``name`` begins; ``continued`` is the part of it
        that exists."""
        self._end_line()
        self._write(f"{turn} {name}: {'… ' if continued else ''}")
        self._open_line = True
        self._shown = len(continued)
        self._thinking = False
        self._began = self._last_progress = time.monotonic()

    def show(self, event: ChatEvent) -> None:
        """Print what ``event`` reports."""
        match event:
            case LoadingModel(model=model):
                if model != self._loading:
                    self._loading = model
                    self.line(tr("loading {model}", model=model))
            case Prefilling(done=done, total=total):
                self._report(tr("reading the prompt: {part}", part=f"{done / max(total, 1):.0%}"))
            case AnswerText():
                self._show_text(event)
            case Summarizing(done=done):
                self._report(tr("summarizing the oldest turns: {part}", part=f"{done:.0%}"))
            case TurnsDropped():
                self.note(event.line)
            case WordsLeave():
                self.note(event.line)
            case SaveFailed(why=why):
                self.note(tr("not saved yet: {why}", why=why))
            case AnswerFinished():
                self._finish(event)
            case AnswerFailed(why=why):
                self.note(why)
            case _:
                pass

    def note(self, text: str) -> None:
        """Print a remark of the program."""
        self.line(f"({text})")

    def _show_text(self, event: AnswerText) -> None:
        if event.thinking and not self._thinking:
            self._thinking = True
            self.note(tr("thinking"))
        text = event.text
        if len(text) < self._shown:
            # Nothing said that the answer began with a thought, until a tag ended it.
            self.note(tr(WAS_THOUGHT))
            self._shown = 0
        # Half a word would be read aloud as one.
        end = max(text.rfind(" "), text.rfind("\n")) + 1
        self._write_answer(text, end)

    def _write_answer(self, text: str, end: int) -> None:
        start = self._shown
        if start == 0:  # templates often leave blanks in front
            start = len(text) - len(text.lstrip())
        if end > start:
            self._write(text[start:end])
            self._shown, self._open_line = end, True

    def _finish(self, event: AnswerFinished) -> None:
        message, stats = event.message, event.stats
        text = message.text.rstrip()
        self._write_answer(text, len(text))
        self._end_line()
        if message.reasoning and not text:
            self.note(tr(ONLY_THOUGHT))
        made = count_text(stats.completion_tokens, "token")
        if stats.tokens_per_second:
            made = tr(WITH_SPEED, tokens=made, speed=f"{stats.tokens_per_second:.1f}")
        ended = tr(_ENDED.get(event.reason, ""))
        self.note(tr("{made}; {ended}", made=made, ended=ended) if ended else made)
        form = message.made.form if message.made is not None else None
        if form is not None:
            self.note(f"{form_text(form)}: {form.problem_text or tr('the answer has this form')}")
        for notice in event.notices:
            self.note(notice)
        if not event.saved:
            self.note(tr("not saved: {why}", why=event.why_unsaved))

    def _report(self, text: str) -> None:
        now = time.monotonic()
        wait = _FIRST_PROGRESS_S if self._last_progress == self._began else _PROGRESS_EVERY_S
        if now - self._last_progress >= wait:
            self._last_progress = now
            self.note(text)

    def _end_line(self) -> None:
        if self._open_line:
            self._write("\n")
            self._open_line = False

    def _write(self, text: str) -> None:
        sys.stdout.write(clean_text(text))
        sys.stdout.flush()
