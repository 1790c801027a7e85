"""What ``ask`` prints while an answer arrives: the answer on stdout, all else on stderr."""

from __future__ import annotations

import json

import msgspec
import pytest

from baize_shared.printing import ProgressLine
from baize_tui.chat.events import AnswerFinished, AnswerText, TurnsDropped
from baize_tui.cli.ask_output import AnswerPrinter
from baize_tui.cli.output import progress_line
from baize_tui.engine.protocol import FinishReason, Stats
from baize_tui.store.records import Message


def finished(text: str, reasoning: str, reason: FinishReason = "stop") -> AnswerFinished:
    message = Message(2, "c", 1, "assistant", "complete", text, reasoning, None, None, 0, None)
    return AnswerFinished(message, reason, Stats(1, 0, 3, 0.1, 0.1, 1.0, 1, 1, 1))


def printer(progress: ProgressLine, *, show_thinking: bool = False) -> AnswerPrinter:
    return AnswerPrinter(progress, json=False, saves=False, show_thinking=show_thinking)


def test_the_thought_is_printed_to_stderr_if_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_line() as progress:
        shown = printer(progress, show_thinking=True)
        shown.show(AnswerText("", "", "They", thinking=True))
        shown.show(AnswerText("", "", "They ask.", thinking=True))
        shown.show(AnswerText("Pa", "Pa", "They ask."))
        shown.show(AnswerText("ris.", "Paris.", "They ask."))
        shown.show(finished("Paris.", "They ask."))
        assert shown.end("m", interrupted=False) == 0
    out, err = capsys.readouterr()
    assert out == "Paris.\n"
    assert "They ask.\n" in err
    assert "They ask." not in err.replace("They ask.", "", 1)


def test_an_answer_that_turns_out_to_be_the_thought(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_line() as progress:
        shown = printer(progress)
        shown.show(AnswerText("They ask.", "They ask.", ""))
        shown.show(AnswerText("", "", "They ask."))
        shown.show(AnswerText("Paris.", "Paris.", "They ask."))
        shown.show(finished("Paris.", "They ask."))
        shown.end("m", interrupted=False)
    out, err = capsys.readouterr()
    assert out == "They ask.\nParis.\n"  # what was printed cannot be taken back
    assert "what was printed so far was the thought" in err


@pytest.mark.parametrize(
    ("reason", "said"),
    [("stop", "gave no answer"), ("length", "cut off"), ("context", "filled the context")],
)
def test_a_thought_without_an_answer_is_reported(
    reason: FinishReason, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_line() as progress:
        shown = printer(progress)
        shown.show(AnswerText("", "", "They", thinking=True))
        shown.show(finished("", "They", reason))
        shown.end("m", interrupted=False)
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


@pytest.mark.parametrize(
    ("dropped", "summary", "why", "said"),
    [
        (2, "", "", "the oldest 2 messages were dropped"),
        (1, "", "", "the oldest message was dropped"),
        (2, "They talked.", "", "the oldest 2 messages were summarized"),
        (2, "", "the model wrote none", "were dropped without a new summary: the model wrote none"),
        (2, "An old one.", "no room", "were dropped without a new summary: no room"),
        (2, "An old one.", "", "the oldest 2 messages were dropped"),
    ],
)
def test_what_leaves_the_context_is_told(
    dropped: int, summary: str, why: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = msgspec.structs.replace(finished("", "").message, summary=summary)
    with progress_line() as progress:
        shown = AnswerPrinter(progress, json=True, saves=False, show_thinking=False)
        shown.show(TurnsDropped(first, dropped, summary == "They talked.", why))
        message = finished("Paris.", "").message
        made = {"summary": summary, "adapters": {}}
        shown.show(
            AnswerFinished(
                msgspec.structs.replace(message, provenance=made),
                "stop",
                Stats(1, 0, 3, 0.1, 0.1, 1.0, 1, 1, 1),
            )
        )
        shown.end("m", interrupted=False)
    out, err = capsys.readouterr()
    assert said in err
    printed = json.loads(out)
    assert (printed["messages_dropped"], printed["summary"]) == (dropped, summary)
