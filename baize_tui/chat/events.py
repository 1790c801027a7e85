"""What a face hears while a turn goes from question to saved answer."""

from __future__ import annotations

from dataclasses import dataclass

from baize_tui.engine.protocol import FinishReason, Prefilling, Stats
from baize_tui.store.records import Message


@dataclass(frozen=True, slots=True)
class Asked:
    """The question is saved."""

    message: Message


@dataclass(frozen=True, slots=True)
class TurnsLeft:
    """The oldest turns no longer fit: the model sees the conversation from ``first`` on."""

    first: Message
    messages_dropped: int


@dataclass(frozen=True, slots=True)
class Answering:
    """The answer has its place; ``message`` holds what is already there when going on with it."""

    message: Message


@dataclass(frozen=True, slots=True)
class Delta:
    """The answer so far is ``text``, and what the model thought before it ``reasoning``."""

    added: str
    text: str
    reasoning: str


@dataclass(frozen=True, slots=True)
class NotSaved:
    """The journal could not be written; the answer goes on, and saving is tried again."""

    why: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole or was stopped; ``message`` is what is kept of it."""

    message: Message
    reason: FinishReason
    stats: Stats
    saved: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """No more comes; what came before is kept, marked as failed or interrupted."""

    why: str
    message: Message | None


ChatEvent = Asked | TurnsLeft | Answering | Prefilling | Delta | NotSaved | Finished | Failed
