"""What ``baize-tui ask`` prints: the answer while it is generated, or one JSON object."""

from __future__ import annotations

import sys
from typing import Any

from baize_shared.commands import DONE, INTERRUPTED
from baize_shared.printing import ProgressLine, print_json
from baize_tui.chat.events import (
    AnswerFailed,
    AnswerFinished,
    AnswerText,
    ChatEvent,
    SaveFailed,
    Summarizing,
    TurnsDropped,
    WordsLeave,
)
from baize_tui.cli.failures import CommandError
from baize_tui.cli.output import tell
from baize_tui.engine.protocol import FinishReason, Prefilling
from baize_tui.measures import count_text
from baize_tui.translation import msg, tr

_THINKING, _THOUGHT = msg("thinking …"), msg("… end of the thought")
_NO_ANSWER: dict[FinishReason, str] = {
    "stop": msg("the model thought, and gave no answer"),
    "length": msg("no answer: the thought was cut off; --max-thinking-tokens allows a longer one"),
    "context": msg("no answer: the thought filled the context; model.context allows more"),
    "cancelled": msg("stopped inside the thought, before the answer"),
}


class AnswerPrinter:
    """Prints the answer to stdout and everything else to stderr."""

    def __init__(
        self, progress: ProgressLine, *, json: bool, saves: bool, show_thinking: bool
    ) -> None:
        """With ``json`` the answer is printed at the end, as one object; ``saves`` says whether the
        conversation is saved. With ``show_thinking`` the thought is printed to stderr."""
        self._progress = progress
        self._json = json
        self._saves = saves
        self._show_thinking = show_thinking
        self._printed = 0
        self._thought = ""
        """What was printed of the thought."""
        self._cut: TurnsDropped | None = None
        """What left the context for this question."""
        self._finished: AnswerFinished | None = None

    def show(self, event: ChatEvent) -> None:
        """Print what ``event`` reports.

        Raises:
            CommandError: the answer failed.
        """
        match event:
            case Prefilling(done=done, total=total):
                self._progress.show(
                    tr("reading the prompt {part}", part=f"{done / max(total, 1):.0%}")
                )
            case AnswerText():
                self._show_text(event)
            case Summarizing(done=done):
                self._progress.show(tr("summarizing the oldest turns {part}", part=f"{done:.0%}"))
            case TurnsDropped():
                self._cut = event
                self.tell(event.line)
            case WordsLeave():
                self.tell(event.line)
            case SaveFailed(why=why):
                self.tell(tr("not saved yet: {why}", why=why))
            case AnswerFailed(why=why):
                self._progress.clear()
                raise CommandError(why)
            case AnswerFinished():
                self._finished = event
            case _:
                pass

    def _show_text(self, event: AnswerText) -> None:
        if self._show_thinking:
            self._print_thought(event.reasoning)
        elif event.thinking:
            words = count_text(len(event.reasoning.split()), "word")
            self._progress.show(tr("thinking: {words}", words=words))
        text = event.text.lstrip()
        if self._json:
            return
        if len(text) < self._printed:
            # Nothing said that the answer began with a thought, until a tag ended it.
            sys.stdout.write("\n")
            self.tell(tr("what was printed so far was the thought of the model, not its answer"))
            self._thought, self._printed = event.reasoning, 0
        self._print(text)

    def _print_thought(self, thought: str) -> None:
        """Print the rest of ``thought``, the thought so far, to stderr."""
        if thought.startswith(self._thought) and len(thought) > len(self._thought):
            self._progress.clear()
            begin = "" if self._thought else f"{tr(_THINKING)}\n"
            sys.stderr.write(begin + thought[len(self._thought) :])
            sys.stderr.flush()
            self._thought = thought

    def _end_thought(self) -> None:
        """Print the line that separates a thought on stderr from what follows."""
        if self._show_thinking and self._thought:
            sys.stderr.write(f"\n{tr(_THOUGHT)}\n\n")
            sys.stderr.flush()
            self._show_thinking = False

    def _print(self, text: str) -> None:
        """Print the rest of ``text``, the answer so far."""
        if len(text) > self._printed:
            self._progress.clear()
            self._end_thought()
            sys.stdout.write(text[self._printed :])
            sys.stdout.flush()
            self._printed = len(text)

    def tell(self, line: str) -> None:
        """Print a line to stderr in place of the progress."""
        self._progress.clear()
        tell(line)

    def end(self, model: str, *, interrupted: bool) -> int:
        """Print the rest of an answer by ``model``; the exit code.

        Raises:
            CommandError: the answer could not be saved.
        """
        self._progress.clear()
        finished = self._finished
        if finished is None:
            return INTERRUPTED if interrupted else DONE
        self._end_thought()
        message = finished.message
        if self._json:
            print_json(_answer_json(finished, model, self._cut, saves=self._saves))
        elif not (message.text.endswith("\n") or (message.reasoning and not message.text)):
            sys.stdout.write("\n")
        sys.stdout.flush()
        for notice in finished.notices:
            tell(notice)
        if message.reasoning and not message.text.strip():
            tell(tr(_NO_ANSWER[finished.reason]))
        if not finished.saved:
            raise CommandError(tr("the answer could not be saved: {why}", why=finished.why_unsaved))
        form = message.made.form if message.made is not None else None
        if form is not None and form.problem and finished.reason != "cancelled":
            raise CommandError(
                tr(
                    "the answer does not have the form {form}: {why}",
                    form=form.name,
                    why=form.problem_text,
                )
            )
        return INTERRUPTED if finished.reason == "cancelled" else DONE


def _answer_json(
    finished: AnswerFinished, model: str, cut: TurnsDropped | None, *, saves: bool
) -> dict[str, Any]:
    """The answer; ``cut`` is what left the context for its question."""
    stats, message = finished.stats, finished.message
    made = message.provenance or {}
    return {
        "text": message.text.strip(),
        "reasoning": message.reasoning,
        "model": model,
        "session_id": message.conversation_id if saves else None,
        "finish_reason": finished.reason,
        "prompt_tokens": stats.prompt_tokens,
        "reused_tokens": stats.reused_tokens,
        "completion_tokens": stats.completion_tokens,
        "thinking_tokens": stats.thinking_tokens,
        "ttft_s": round(stats.ttft_s, 4),
        "tokens_per_second": round(stats.tokens_per_second, 2),
        "seed": stats.seed,
        "adapters": made.get("adapters", {}),
        "messages_dropped": cut.messages_dropped if cut is not None else 0,
        "summary": made.get("summary", ""),
        "shifted": stats.shifted,
        "form": made.get("form"),
        "saved": finished.saved and saves,
    }
