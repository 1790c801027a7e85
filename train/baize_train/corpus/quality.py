"""Filters for dialogues. Each has a name, looks at the text alone, and says what is wrong.

``repeats`` has its rule in ``duplicates.py``: it needs the dialogues before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import pairwise
from typing import Literal, get_args

from msgspec import Struct

from baize_train.corpus.dialogues import Dialogue, Turn

FilterName = Literal[
    "roles",
    "empty",
    "turns",
    "length",
    "prompt-leak",
    "role-drift",
    "repetition",
    "refusal",
    "language",
    "repeats",
]
FILTER_NAMES: tuple[FilterName, ...] = get_args(FilterName)
UNTRAINABLE: frozenset[FilterName] = frozenset({"roles", "empty"})
"""What no model can be trained on; all else may be what somebody wants."""
FOR_SELF_CHAT: frozenset[FilterName] = frozenset(FILTER_NAMES) - {"refusal", "language"}
"""What models do wrong that talk with themselves."""
FOR_CONVERSION: frozenset[FilterName] = UNTRAINABLE | {"repeats"}
"""What a corpus of others loses unless more is asked for: nothing that is merely unusual."""

_PROMPT_PARTS = re.compile(
    # Not a link, as in ``[AI](url)``.
    r"(\[\|?(?:Human|AI)\|?\])(?=\s|:|$)"
    r"|(<\|im_start\|>|<\|im_end\|>)|^(<s>|\[INST\])|(</s>|\[/INST\])$"
    r"|((?i:complete the transcript in exactly that format"
    r"|forget the instruction you have previously received"
    r"|take turns chatting about the topic))",
    re.MULTILINE,
)
"""Markers and sentences of prompts: a turn that contains one repeats its prompt."""
_ASSISTANT_PHRASE = re.compile(
    r"\b(as an ai (language model|assistant|model)\b|as an ai,? i\b|as a language model"
    r"|i am an ai|i'?m an ai|how (can|may) i (help|assist) you|feel free to ask"
    r"|glad i could help|you'?re welcome)",
    re.IGNORECASE,
)
_USER_PHRASE = re.compile(r"^(can|could|would) you (please )?(tell|explain|help)\b", re.IGNORECASE)
_REFUSAL = re.compile(
    r"\bas an ai (language )?(model|assistant)\b|\bas a language model\b"
    r"|^(i'?m |i am )?(very |really )?(sorry|afraid),? (but )?(i|as)\b.{0,40}"
    r"\b(can'?t|cannot|can ?not|won'?t|unable|not able)\b"
    r"|^(unfortunately, )?i (can'?t|cannot|won'?t|am unable to|'?m not able to) "
    r"(help|assist|provide|fulfil|comply|answer|do that|generate|create)",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")


class Problem(Struct, frozen=True):
    """Why a dialogue should not be used for training."""

    kind: FilterName
    description: str
    """A few words for the user."""


class Limits(Struct, frozen=True):
    """The bounds of a good dialogue."""

    min_turns: int = 1
    """Answers."""
    max_turns: int = 40
    min_words: int = 0
    """Of one answer."""
    max_words: int | None = None
    max_characters: int = 32_000
    """Of one turn."""
    max_overlap: float = 0.8
    """Fraction of a question's words that may come from the answer before it."""
    max_repetition: float = 0.5
    """Fraction of a turn's runs of four words that may repeat earlier ones."""
    language: str = ""
    """ISO 639-1 code; empty is any."""


DEFAULT_LIMITS = Limits()


def find_problems(
    dialogue: Dialogue,
    limits: Limits = DEFAULT_LIMITS,
    filters: Collection[FilterName] = FOR_SELF_CHAT,
) -> list[Problem]:
    """What ``filters`` find wrong with ``dialogue``, at most one problem each; empty if it is
    good."""
    turns = [turn for turn in dialogue.messages if turn.role != "system"]
    return [
        Problem(kind, description)
        for kind, rule in _RULES.items()
        if kind in filters and (description := next(rule(turns, limits), None)) is not None
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


def _check_empty(turns: Sequence[Turn], limits: Limits) -> Iterator[str]:
    if any(not turn.content.strip() for turn in turns):
        yield "an empty turn"


def _check_turn_count(turns: Sequence[Turn], limits: Limits) -> Iterator[str]:
    answers = sum(turn.role == "assistant" for turn in turns)
    if answers < limits.min_turns:
        yield f"fewer than {limits.min_turns} turns"
    if answers > limits.max_turns:
        yield f"more than {limits.max_turns} turns"


def _check_length(turns: Sequence[Turn], limits: Limits) -> Iterator[str]:
    if any(len(turn.content) > limits.max_characters for turn in turns):
        yield f"a turn of more than {limits.max_characters} characters"
    counts = [len(_WORD.findall(turn.content)) for turn in turns if turn.role == "assistant"]
    if any(count < limits.min_words for count in counts):
        yield f"an answer of fewer than {limits.min_words} words"
    if limits.max_words is not None and any(count > limits.max_words for count in counts):
        yield f"an answer of more than {limits.max_words} words"


def _check_prompt_leak(turns: Sequence[Turn], limits: Limits) -> Iterator[str]:
    for turn in turns:
        if (part := _PROMPT_PARTS.search(turn.content)) is not None:
            yield f"prompt leak: {part[0].strip().lower()}"


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


def _check_refusal(turns: Sequence[Turn], limits: Limits) -> Iterator[str]:
    for turn in turns:
        if turn.role == "assistant" and _REFUSAL.search(turn.content.strip()[:200]):
            yield "refusal"


def _check_language(turns: Sequence[Turn], limits: Limits) -> Iterator[str]:
    if not limits.language:
        return
    # Imported here: it is in the extra [corpus], and reads a model.
    from py3langid.langid import classify

    text = "\n".join(turn.content for turn in turns)
    language, _ = classify(text)
    if text.strip() and language != limits.language:
        yield f"language {language}, not {limits.language}"


_RULES: dict[FilterName, Callable[[Sequence[Turn], Limits], Iterator[str]]] = {
    "roles": _check_roles,
    "empty": _check_empty,
    "turns": _check_turn_count,
    "length": _check_length,
    "prompt-leak": _check_prompt_leak,
    "role-drift": _check_role_drift,
    "repetition": _check_repetition,
    "refusal": _check_refusal,
    "language": _check_language,
}
