"""What a collection costs, and where it ends."""

from __future__ import annotations

from msgspec import Struct

from baize_train.speakers.speaker import Reply


class Usage:
    """Tokens that one dialogue took, by all its speakers."""

    def __init__(self, prompt: int = 0, completion: int = 0) -> None:
        self.prompt, self.completion = prompt, completion

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def add(self, reply: Reply) -> Reply:
        """Count ``reply`` and return it."""
        self.prompt += reply.prompt_tokens
        self.completion += reply.completion_tokens
        return reply


class Prices(Struct, frozen=True):
    """Money per million tokens."""

    prompt: float = 0.0
    completion: float = 0.0

    def cost(self, usage: Usage) -> float:
        return (usage.prompt * self.prompt + usage.completion * self.completion) / 1e6


class Budget(Struct, frozen=True):
    """When a collection ends; None is no limit. Dialogues that are running then are still kept."""

    dialogues: int | None = None
    tokens: int | None = None
    money: float | None = None
    minutes: float | None = None
