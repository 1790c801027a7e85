"""Dialogues as every part of this package sees them: one line of a corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

import msgspec
from msgspec import Struct

Role = Literal["system", "user", "assistant"]


class Turn(Struct, frozen=True, omit_defaults=True):
    """One message; ``content`` is plain text."""

    role: Role
    content: str
    name: str = ""
    """Of the speaker; no template writes it."""
    weight: int = 1
    """0 for an answer that is only read, not trained."""
    reasoning_content: str = ""
    """What a model thought before its answer; it is not trained."""


class Dialogue(Struct, frozen=True, omit_defaults=True):
    """A conversation in TRL's conversational format, with its turns in ``messages``."""

    messages: list[Turn]
    id: str = ""
    """Derived from the messages (``dialogue_id``), or given by the file it was read from."""
    source: str = ""
    """The file, or the self-chat mode, that the dialogue comes from."""
    topic: str = ""
    """The seed it started from."""
    meta: dict[str, Any] = {}

    @property
    def answer_count(self) -> int:
        """Number of assistant turns, which the paper counts as turns."""
        return sum(turn.role == "assistant" for turn in self.messages)


def dialogue_id(messages: Sequence[Turn]) -> str:
    """A name for these messages: 16 hexadecimal digits of their SHA-256."""
    raw = msgspec.json.encode(list(messages))
    return hashlib.sha256(raw).hexdigest()[:16]


def first_question(dialogue: Dialogue) -> list[Turn]:
    """The turns up to the first question that is answered; empty if none is."""
    roles = [turn.role for turn in dialogue.messages]
    for at, pair in enumerate(pairwise(roles)):
        if pair == ("user", "assistant"):
            return dialogue.messages[: at + 1]
    return []


def teachers(dialogues: Iterable[Dialogue]) -> list[str]:
    """The models that wrote ``dialogues``, each once; those without a teacher are skipped."""
    names = (str(dialogue.meta["teacher"]) for dialogue in dialogues if "teacher" in dialogue.meta)
    return list(dict.fromkeys(names))


def record_key(request: Any, settings: Any) -> str:
    """A name for a record before it exists: 16 hexadecimal digits of what is asked and how."""
    raw = msgspec.json.encode([request, settings], order="sorted")
    return hashlib.sha256(raw).hexdigest()[:16]
