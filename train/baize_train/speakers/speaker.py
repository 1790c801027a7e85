"""The interfaces of a model that replies: one that is asked once, and one that is asked until it
replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

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


class Reply(Struct, frozen=True, omit_defaults=True):
    """A reply and its cost."""

    text: str
    complete: bool
    """The model ended it; it was not cut off at ``max_tokens``."""
    prompt_tokens: int
    completion_tokens: int
    """Thoughts included."""
    thoughts: str = ""
    """What a reasoning model thought before it replied."""


class Cost(Struct, frozen=True):
    """Tokens that a server counts."""

    prompt: int = 0
    completion: int = 0

    def plus(self, other: Cost) -> Cost:
        return Cost(self.prompt + other.prompt, self.completion + other.completion)


NO_COST = Cost()


class RateLimits(Struct, frozen=True):
    """What a server says is left of a limit; None where it says nothing."""

    requests: int | None = None
    requests_reset_s: float = 0.0
    """Seconds until the number of requests is full again."""
    tokens: int | None = None
    tokens_reset_s: float = 0.0


ErrorKind = Literal["temporary", "rate limit", "template", "request", "unclear", "later", "fatal"]
"""``temporary``: another try can succeed. ``rate limit``: the same, after fewer requests.
``template``: the model's template does not take the roles in this order. ``request``: this request
alone fails, as with a content filter. ``unclear``: the request was refused for a reason that may
concern every request. ``later``: the answer comes with a batch. ``fatal``: no request will
succeed."""


class SpeakerError(OneLineError):
    """A backend did not reply; the message is one line."""

    def __init__(
        self,
        message: str,
        kind: ErrorKind = "fatal",
        *,
        retry_after_s: float | None = None,
        cost: Cost = NO_COST,
    ) -> None:
        """``retry_after_s``: how long the server asks to wait. ``cost``: of what it sent although
        it is not a reply, such as thoughts without an answer."""
        super().__init__(message)
        self.kind = kind
        self.retry_after_s = retry_after_s
        self.cost = cost


class RequestFailed(OneLineError):
    """There is no reply to one request, while others may succeed; the message is one line."""

    def __init__(
        self, message: str, *, later: bool = False, unclear: bool = False, cost: Cost = NO_COST
    ) -> None:
        """``later``: the server had failures that may pass. ``unclear``: the reason may concern
        every request. ``cost``: of what the server sent although it is not a reply."""
        super().__init__(message)
        self.later = later
        self.unclear = unclear
        self.cost = cost


class Backend(Protocol):
    """A model on this machine or a server; it is asked once."""

    @property
    def name(self) -> str:
        """The name that a corpus records as its teacher."""

    @property
    def place(self) -> str:
        """Where it runs, for messages."""

    @property
    def max_concurrent(self) -> int:
        """Requests to start with at the same time."""

    @property
    def supports_grammars(self) -> bool: ...

    @property
    def rate_limits(self) -> RateLimits | None:
        """What the last response said is left."""

    async def reply(self, messages: Sequence[Turn], options: SamplingOptions) -> Reply:
        """Reply to ``messages``.

        Raises:
            SpeakerError: there is no reply.
        """

    async def close(self) -> None: ...


class Speaker(Protocol):
    """A model that replies to messages, however often it has to be asked."""

    @property
    def name(self) -> str:
        """The name that a corpus records as its teacher."""

    @property
    def max_concurrent(self) -> int:
        """Requests that are useful at the same time."""

    @property
    def supports_grammars(self) -> bool: ...

    async def reply(self, messages: Sequence[Turn], options: SamplingOptions) -> Reply:
        """Reply to ``messages``.

        Raises:
            RequestFailed: this request gets no reply.
            TrainError: no request will.
        """

    async def close(self) -> None: ...
