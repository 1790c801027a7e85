"""What the chat reports while a question becomes a saved answer."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from baize_tui.engine.protocol import FinishReason, Prefilling, Stats, ThreadsChosen
from baize_tui.measures import count_text
from baize_tui.store.records import Message
from baize_tui.translation import msg, plural_msg, tr, tr_plural

SUMMARIZED = plural_msg(
    "the context is full: the oldest message was summarized",
    "the context is full: the oldest {count} messages were summarized",
)
DROPPED = plural_msg(
    "the context is full: the oldest message was dropped",
    "the context is full: the oldest {count} messages were dropped",
)
NOT_SUMMARIZED = plural_msg(
    "the context is full: the oldest message was dropped without a new summary: {why}",
    "the context is full: the oldest {count} messages were dropped without a new summary: {why}",
)
WORDS_LEAVE = msg("your words leave this computer: they go to {host}")
WORDS_LEAVE_WITH = msg("your words leave this computer: they go to {host}, with {messages}")


class MessageSaved(Struct, frozen=True):
    """The question, or the person's version of an answer, is saved."""

    message: Message


class EngineUse(Struct, frozen=True):
    """What the engine is used for: an answer in the conversation ``title``, a title for it, a look
    into it, or loading the model ``title``."""

    work: Literal["answer", "load", "look", "title"]
    title: str


class WaitingForEngine(Struct, frozen=True):
    """The engine is used for something else; this comes again when that changes."""

    use: EngineUse


class LoadingModel(Struct, frozen=True):
    """The conversation's own model is loaded first; ``progress`` is 0.0 to 1.0."""

    model: str
    progress: float


class Summarizing(Struct, frozen=True):
    """The oldest turns no longer fit, and the model summarizes them; ``done`` is 0.0 to 1.0."""

    done: float


class TurnsDropped(Struct, frozen=True):
    """The oldest turns no longer fit: the model sees the conversation from ``first_kept`` on, and
    the summary in it in place of the others."""

    first_kept: Message
    messages_dropped: int
    summarized: bool = False
    """Whether the summary is new, and of all that was dropped."""
    why_no_summary: str = ""
    """Why there is no summary, or no new one, although one was to be written."""

    @property
    def line(self) -> str:
        """What has left the context, for a person."""
        count = self.messages_dropped
        if self.summarized:
            return tr_plural(*SUMMARIZED, count)
        if not self.why_no_summary:
            return tr_plural(*DROPPED, count)
        return tr_plural(*NOT_SUMMARIZED, count, why=self.why_no_summary)


class WordsLeave(Struct, frozen=True):
    """The conversation goes to another computer for the first time; an answer follows.

    ``messages`` of it are sent, the new one included.
    """

    host: str
    messages: int

    @property
    def line(self) -> str:
        """For the person."""
        if self.messages == 1:
            return tr(WORDS_LEAVE, host=self.host)
        earlier = count_text(self.messages - 1, "earlier message")
        return tr(WORDS_LEAVE_WITH, host=self.host, messages=earlier)


class AnswerStarted(Struct, frozen=True):
    """The answer is a message from now on; a continued one already has text."""

    message: Message


class AnswerText(Struct, frozen=True):
    """More of the answer: ``text`` and ``reasoning`` are all of it so far.

    ``text`` is shorter than before if it turned out to be the thought.
    """

    added: str
    text: str
    reasoning: str
    thinking: bool = False
    """Whether the model is still in its thought."""
    tokens: int = 0
    """How many tokens it has so far; 0 where a server does not say."""


class SaveFailed(Struct, frozen=True):
    """The answer so far could not be saved; it continues, and saving is tried again."""

    why: str


class SavedAgain(Struct, frozen=True):
    """After ``SaveFailed``: the answer so far is saved."""


class AnswerFinished(Struct, frozen=True):
    """The answer is complete or was stopped; ``message`` is the result."""

    message: Message
    reason: FinishReason
    stats: Stats
    notices: list[str] = []
    """What differs from what was asked: another model, or texts that were changed."""
    why_unsaved: str = ""
    """Why it could not be saved at first, in one line; saving is tried again."""

    @property
    def saved(self) -> bool:
        return not self.why_unsaved


class AnswerFailed(Struct, frozen=True):
    """The answer failed; ``message`` is what was generated before, if anything was."""

    why: str
    message: Message | None


ChatEvent = (
    MessageSaved
    | WaitingForEngine
    | LoadingModel
    | Summarizing
    | TurnsDropped
    | WordsLeave
    | AnswerStarted
    | Prefilling
    | ThreadsChosen
    | AnswerText
    | SaveFailed
    | SavedAgain
    | AnswerFinished
    | AnswerFailed
)
