"""Rules for a good dialogue. They look at its text alone, and each names what is wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from baize_train.corpus.dialogues import Dialogue, Turn

_PROMPT_PARTS = (
    "[human]",
    "[ai]",
    "[|human|]",
    "[|ai|]",
    "<|im_start|>",
    "<|im_end|>",
    "<s>",
    "</s>",
    "[inst]",
    "complete the transcript in exactly that format",
    "forget the instruction you have previously received",
    "take turns chatting about the topic",
)
"""Markers and sentences of prompts: a turn that contains one repeats its prompt."""
_ASSISTANT_PHRASE = re.compile(
    r"\b(as an ai\b|as a language model|i'?m sorry, but|i am an ai|i'?m an ai|"
    r"how (can|may) i (help|assist) you|feel free to ask|glad i could help|you'?re welcome)",
    re.IGNORECASE,
)
_USER_PHRASE = re.compile(r"^(can|could|would) you (please )?(tell|explain|help)\b", re.IGNORECASE)
_WORD = re.compile(r"\w+")

ProblemKind = Literal["roles", "turn count", "length", "prompt leak", "role drift", "repetition"]


class Problem(Struct, frozen=True):
    """Why a dialogue should not be used for training."""

    kind: ProblemKind
    description: str
    """A few words for the user."""


class Limits(Struct, frozen=True):
    """The bounds of a good dialogue."""

    min_turns: int = 1
    """Answers."""
    max_turns: int = 40
    max_characters: int = 32_000
    """Of one turn."""
    max_overlap: float = 0.8
    """Fraction of a question's words that may come from the answer before it."""
    max_repetition: float = 0.5
    """Fraction of a turn's runs of four words that may repeat earlier ones."""


DEFAULT_LIMITS = Limits()


def find_problems(dialogue: Dialogue, limits: Limits = DEFAULT_LIMITS) -> list[Problem]:
    """What is wrong with ``dialogue``, at most one problem of each rule; empty if it is good."""
    turns = [turn for turn in dialogue.messages if turn.role != "system"]
    return [
        Problem(kind, description)
        for kind, rule in _RULES.items()
        if (description := next(rule(turns, limits), None)) is not None
    ]


def _check_roles(turns: Sequence[Turn], limits: Limits) -> Iterator[str]:
    if not turns:
        yield "no turns"
    elif len({turn.role for turn in turns}) == 1:
        yield f"only the {turns[0].role} speaks"
    elif turns[0].role != "user":
        yield "starts with an answer"
    elif turns[-1].role != "assistant":
        yield "ends with a question"
    elif any(turn.role == following.role for turn, following in pairwise(turns)):
        yield "the same speaker twice in a row"


def _check_turn_count(turns: Sequence[Turn], limits: Limits) -> Iterator[str]:
    answers = sum(turn.role == "assistant" for turn in turns)
    if answers < limits.min_turns:
        yield f"fewer than {limits.min_turns} turns"
    if answers > limits.max_turns:
        yield f"more than {limits.max_turns} turns"


def _check_length(turns: Sequence[Turn], limits: Limits) -> Iterator[str]:
    if any(not turn.content.strip() for turn in turns):
        yield "an empty turn"
    if any(len(turn.content) > limits.max_characters for turn in turns):
        yield f"a turn of more than {limits.max_characters} characters"


def _check_prompt_leak(turns: Sequence[Turn], limits: Limits) -> Iterator[str]:
    for turn in turns:
        text = turn.content.lower()
        for part in _PROMPT_PARTS:
            if part in text:
                yield f"prompt leak: {part}"


def _check_role_drift(turns: Sequence[Turn], limits: Limits) -> Iterator[str]:
    """A speaker plays the other side: the asker answers, or repeats the answer it was given."""
    previous: set[str] = set()
    for turn in turns:
        words = set(_WORD.findall(turn.content.lower()))
        if turn.role == "user":
            if _ASSISTANT_PHRASE.search(turn.content):
                yield "role drift: the asker speaks as an assistant"
            if len(words) > 5 and len(words & previous) / len(words) > limits.max_overlap:
                yield "role drift: the asker repeats the answer"
        elif _USER_PHRASE.search(turn.content):
            yield "role drift: the assistant asks"
        previous = words


def _check_repetition(turns: Sequence[Turn], limits: Limits) -> Iterator[str]:
    for turn in turns:
        words = _WORD.findall(turn.content.lower())
        runs = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
        if len(runs) >= 12 and 1 - len(Counter(runs)) / len(runs) > limits.max_repetition:
            yield "repetition"
    texts = [turn.content.strip() for turn in turns]
    if len(texts) > len(set(texts)) + (len(texts) // 4):
        yield "the same turns again"


_RULES: dict[ProblemKind, Callable[[Sequence[Turn], Limits], Iterator[str]]] = {
    "roles": _check_roles,
    "turn count": _check_turn_count,
    "length": _check_length,
    "prompt leak": _check_prompt_leak,
    "role drift": _check_role_drift,
    "repetition": _check_repetition,
}
