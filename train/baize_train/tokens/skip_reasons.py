"""Why a dialogue, or a pair of answers, is not used for training."""

from __future__ import annotations

from enum import StrEnum


class SkipReason(StrEnum):
    """The value is the text for the user."""

    NOTHING_ANSWERED = "nothing is answered in it"
    EMPTY_ANSWER = "an answer is empty"
    NOT_TRAINED = "no answer of it is to be trained (weight 0)"
    REASONING = "an answer contains reasoning, which templates remove"
    TEMPLATE_FAILED = "the chat template rejects it"
    ANSWERS_NOT_RENDERED = "the chat template does not write each of its answers once"
    EARLIER_ANSWERS_DIFFER = (
        "it has several answers, and the chat sends earlier ones otherwise with this chat template"
    )
    SYSTEM_MOVED = "it has a system turn, which this chat template moves from question to question"
    TOO_LONG = "no answer starts before the maximum length"
    NO_MARGIN = "the best answer is not far enough ahead of the worst"
    SAME_ANSWERS = "both answers are the same, as far as --max-length"
    QUESTION_TOO_LONG = "the question is longer than --max-length"


class UntrainableDialogue(Exception):
    """A dialogue that cannot be used for training."""

    def __init__(self, reason: SkipReason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
