"""What one answer is asked with, beyond what its conversation says."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Answerer(Struct, frozen=True):
    """A model with the adapters over it, and their scales."""

    model: str
    adapters: dict[str, float] = {}

    @property
    def label(self) -> str:
        """For a person, such as ``model + adapter 0.5``."""
        adapters = (
            name if scale == 1 else f"{name} {scale:g}" for name, scale in self.adapters.items()
        )
        return " + ".join([self.model, *adapters])


class AnswerOptions(Struct, frozen=True, kw_only=True):
    """Options for a single answer; the defaults leave everything to the conversation."""

    sampling: dict[str, Any] = {}
    """Fields of ``Sampling``."""
    answerer: Answerer | None = None
    """Who answers in place of the conversation's model and adapters."""
    max_tokens: int | None = None
    """Most tokens of the answer; None takes the setting."""
    think: bool | None = None
    """Whether the model thinks first; None leaves it to the conversation."""
    max_thinking_tokens: int | None = None
    """Most tokens of the thought before the answer; None takes the setting."""
    stop: tuple[str, ...] = ()
    """Strings that end the answer, in addition to those of the format and the model."""
    grammar: str = ""
    """GBNF that the answer has to follow; empty for none."""
