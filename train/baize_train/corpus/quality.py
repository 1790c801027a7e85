"""What a good dialogue is: rules that say why one is not. No rule looks at more than its text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from msgspec import Struct

from baize_train.corpus.dialogues import Dialogue, Turn

_LEAKS = (
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
"""Markers and sentences of prompts: a text with one of them is a part of a prompt, no answer."""
_OF_AN_ASSISTANT = re.compile(
    r"\b(as an ai\b|as a language model|i'?m sorry, but|i am an ai|i'?m an ai|"
    r"how (can|may) i (help|assist) you|feel free to ask|glad i could help|you'?re welcome)",
    re.IGNORECASE,
)
_OF_A_PERSON = re.compile(r"^(can|could|would) you (please )?(tell|explain|help)\b", re.IGNORECASE)
_WORD = re.compile(r"\w+")


class Limits(Struct, frozen=True):
    """What still counts as a dialogue."""

    least_turns: int = 1
    most_turns: int = 40
    longest: int = 32_000
    """Characters of one turn."""
    most_overlap: float = 0.8
    """Words that a question may share with the answer before it, as a part of its own."""
    most_repeated: float = 0.5
    """Runs of four words that came before in the same answer, as a part of all of them."""


def problems_of(dialogue: Dialogue, limits: Limits = Limits()) -> list[str]:  # noqa: B008
    """Why ``dialogue`` should not be trained on, in a word or two each; empty where it is good."""
    turns = [turn for turn in dialogue.messages if turn.role != "system"]
    return [why for rule in _RULES if (why := next(rule(turns, limits), None)) is not None]


def _roles(turns: list[Turn], limits: Limits) -> Iterator[str]:
    if not turns:
        yield "no turns"
    elif len({turn.role for turn in turns}) == 1:
        yield f"only the {turns[0].role} speaks"
    elif turns[0].role != "user":
        yield "begins with an answer"
    elif turns[-1].role != "assistant":
        yield "ends with a question"
    elif any(one.role == other.role for one, other in pairwise(turns)):
        yield "one speaks twice in a row"


def _number(turns: list[Turn], limits: Limits) -> Iterator[str]:
    answers = sum(turn.role == "assistant" for turn in turns)
    if answers < limits.least_turns:
        yield f"fewer than {limits.least_turns} turns"
    if answers > limits.most_turns:
        yield f"more than {limits.most_turns} turns"


def _lengths(turns: list[Turn], limits: Limits) -> Iterator[str]:
    if any(not turn.content.strip() for turn in turns):
        yield "an empty turn"
    if any(len(turn.content) > limits.longest for turn in turns):
        yield f"a turn of more than {limits.longest} characters"


def _leaks(turns: list[Turn], limits: Limits) -> Iterator[str]:
    for turn in turns:
        text = turn.content.lower()
        for leak in _LEAKS:
            if leak in text:
                yield f"prompt leak: {leak}"


def _drift(turns: list[Turn], limits: Limits) -> Iterator[str]:
    """A speaker who plays the other: the asker answers, or says again what it was told."""
    before: set[str] = set()
    for turn in turns:
        words = set(_WORD.findall(turn.content.lower()))
        if turn.role == "user":
            if _OF_AN_ASSISTANT.search(turn.content):
                yield "role drift: the asker speaks as an assistant"
            if len(words) > 5 and len(words & before) / len(words) > limits.most_overlap:
                yield "role drift: the asker repeats the answer"
        elif _OF_A_PERSON.search(turn.content):
            yield "role drift: the assistant asks"
        before = words


def _repetition(turns: list[Turn], limits: Limits) -> Iterator[str]:
    for turn in turns:
        words = _WORD.findall(turn.content.lower())
        runs = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
        if len(runs) >= 12 and 1 - len(Counter(runs)) / len(runs) > limits.most_repeated:
            yield "repetition"
    said = [turn.content.strip() for turn in turns]
    if len(said) > len(set(said)) + (len(said) // 4):
        yield "the same turns again"


_RULES: tuple[Callable[[list[Turn], Limits], Iterator[str]], ...] = (
    _roles,
    _number,
    _lengths,
    _leaks,
    _drift,
    _repetition,
)
