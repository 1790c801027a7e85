"""The interface of a model that replies: a server, or a GGUF on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from baize_shared.one_line_error import OneLineError
from baize_train.corpus.dialogues import Turn


class SamplingOptions(Struct, frozen=True):
    """How a reply is sampled."""

    max_tokens: int = 512
    temperature: float = 0.7
    top_p: float = 0.95
    seed: int | None = None
    stop: list[str] = []
    grammar: str = ""
    """GBNF that the reply must follow; ignored by speakers without ``supports_grammars``."""


class Reply(Struct, frozen=True):
    """A reply and its cost."""

    text: str
    complete: bool
    """The model ended it; it was not cut off at ``max_tokens``."""
    prompt_tokens: int
    completion_tokens: int


class SpeakerError(OneLineError):
    """The speaker did not reply; the message is one line."""

    def __init__(
        self,
        message: str,
        *,
        temporary: bool = False,
        rate_limited: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        """``temporary``: another try can succeed, after ``retry_after_s`` if the server says so.
        ``rate_limited``: it gets too many requests at once."""
        super().__init__(message)
        self.temporary = temporary
        self.rate_limited = rate_limited
        self.retry_after_s = retry_after_s


class Speaker(Protocol):
    """A model that replies to messages."""

    @property
    def name(self) -> str:
        """The name that a corpus records as its teacher."""

    @property
    def max_concurrent(self) -> int:
        """Requests to start with at the same time."""

    @property
    def supports_grammars(self) -> bool: ...

    async def reply(self, messages: Sequence[Turn], options: SamplingOptions) -> Reply:
        """Reply to ``messages``.

        Raises:
            SpeakerError: there is no reply.
        """

    async def close(self) -> None: ...
