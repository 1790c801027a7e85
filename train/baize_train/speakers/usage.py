"""Tokens that replies take."""

from __future__ import annotations

from baize_train.speakers.speaker import Reply


class Usage:
    """Tokens of one dialogue by all its speakers, or of a whole collection."""

    def __init__(self, prompt: int = 0, completion: int = 0) -> None:
        self.prompt, self.completion = prompt, completion

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def add(self, reply: Reply) -> Reply:
        """Count ``reply`` and return it."""
        self.count(reply.prompt_tokens, reply.completion_tokens)
        return reply

    def count(self, prompt: int, completion: int) -> None:
        self.prompt += prompt
        self.completion += completion

    def minus(self, other: Usage) -> Usage:
        """What is left without ``other``; nothing is less than zero."""
        prompt, completion = self.prompt - other.prompt, self.completion - other.completion
        return Usage(max(0, prompt), max(0, completion))
