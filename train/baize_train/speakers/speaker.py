"""Who speaks in a self-chat: a model behind a server, or a GGUF on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from baize_train.corpus.dialogues import Turn


class Wish(Struct, frozen=True):
    """How a reply is to be sampled."""

    max_tokens: int = 512
    temperature: float = 0.7
    top_p: float = 0.95
    seed: int | None = None
    stop: list[str] = []
    grammar: str = ""
    """GBNF that the reply has to follow, where the speaker can."""


class Reply(Struct, frozen=True):
    """What was said, and what it took."""

    text: str
    whole: bool
    """It ended by itself, and was not cut off."""
    prompt_tokens: int
    completion_tokens: int


class SpeakerFailed(Exception):
    """It could not answer now; ``again`` tells whether it makes sense to ask once more, and
    ``after`` in how many seconds, where the server said so."""

    def __init__(
        self, why: str, *, again: bool = False, busy: bool = False, after: float | None = None
    ) -> None:
        super().__init__(why)
        self.again = again
        self.busy = busy
        """It is asked too much at once."""
        self.after = after


class Speaker(Protocol):
    """One of the two, or both in one."""

    @property
    def name(self) -> str:
        """What a corpus names as its teacher."""

    @property
    def at_once(self) -> int:
        """How many it can be asked at once."""

    @property
    def heeds_grammars(self) -> bool: ...

    async def say(self, messages: Sequence[Turn], wish: Wish) -> Reply:
        """Reply to ``messages``.

        Raises:
            SpeakerFailed: it does not.
        """

    async def close(self) -> None: ...
