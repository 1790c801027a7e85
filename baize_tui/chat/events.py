"""What a face hears while a turn goes from question to saved answer."""

from __future__ import annotations

from msgspec import Struct

from baize_tui.engine.protocol import FinishReason, Prefilling, Stats, ThreadsChosen
from baize_tui.store.records import Message


class Asked(Struct, frozen=True):
    """The question is saved."""

    message: Message


class TurnsLeft(Struct, frozen=True):
    """The oldest turns no longer fit: the model sees the conversation from ``first`` on."""

    first: Message
    messages_dropped: int


class LoadingModel(Struct, frozen=True):
    """The conversation's own model is loaded first; ``progress`` is 0.0 to 1.0."""

    model: str
    progress: float


class Answering(Struct, frozen=True):
    """The answer has its place; ``message`` holds what is already there when going on with it."""

    message: Message


class Delta(Struct, frozen=True):
    """The answer so far is ``text``, and what the model thought before it ``reasoning``."""

    added: str
    text: str
    reasoning: str


class NotSaved(Struct, frozen=True):
    """The journal could not be written; the answer goes on, and saving is tried again."""

    why: str


class Finished(Struct, frozen=True):
    """The answer is whole or was stopped; ``message`` is what is kept of it."""

    message: Message
    reason: FinishReason
    stats: Stats
    saved: bool
    notices: list[str] = []
    """What was changed in the texts before the model saw them."""


class Failed(Struct, frozen=True):
    """No more comes; what came before is kept, marked as failed or interrupted."""

    why: str
    message: Message | None


ChatEvent = (
    Asked
    | LoadingModel
    | TurnsLeft
    | Answering
    | Prefilling
    | ThreadsChosen
    | Delta
    | NotSaved
    | Finished
    | Failed
)
