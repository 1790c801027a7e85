"""Dialogues, as every part of this package sees them: what stands in a line of a corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

Role = Literal["system", "user", "assistant"]


class Turn(Struct, frozen=True):
    """What one of the two says; ``content`` is plain text."""

    role: Role
    content: str


class Dialogue(Struct, frozen=True, omit_defaults=True):
    """A conversation; the form is that of TRL, a column ``messages``."""

    messages: list[Turn]
    id: str = ""
    """The same for the same messages, or what a collection was begun with."""
    source: str = ""
    """Where it is from: a file, or a teacher's name."""
    topic: str = ""
    """The seed that it was begun with."""
    meta: dict[str, Any] = {}

    @property
    def turns(self) -> int:
        """Answers, which is how the paper counts."""
        return sum(turn.role == "assistant" for turn in self.messages)


def id_of(messages: Sequence[Turn]) -> str:
    """A name for these messages: 16 hexadecimal digits of their SHA-256."""
    raw = msgspec.json.encode(list(messages))
    return hashlib.sha256(raw).hexdigest()[:16]
