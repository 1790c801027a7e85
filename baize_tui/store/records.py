"""The rows of the store."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from baize_tui.settings import Overflow

MessageRole = Literal["user", "assistant"]
MessageState = Literal["complete", "streaming", "stopped", "interrupted", "failed"]
Mark = Literal["good", "bad"]


class Conversation(Struct, frozen=True):
    """A tree of messages with its own system prompt; times are seconds since 1970, UTC."""

    id: str
    title: str
    created_at: float
    updated_at: float
    leaf_id: int | None
    context_start: int | None
    model: str | None
    system: str
    moderation: bool
    format: str | None
    sampling: dict[str, Any] = {}
    """Fields of ``Sampling`` that are set for this conversation."""
    overflow: Overflow | None = None
    adapters: dict[str, float] = {}
    """Scale by name, of the adapters that are laid over the model."""


class Message(Struct, frozen=True):
    """One turn. ``ids`` are the tokens it was generated as, under vocabulary ``tokenizer``."""

    id: int
    conversation_id: str
    parent_id: int | None
    role: MessageRole
    state: MessageState
    text: str
    reasoning: str
    ids: list[int] | None
    tokenizer: str | None
    created_at: float
    provenance: dict[str, Any] | None
    mark: Mark | None = None
    """What the person thinks of an answer."""
    pinned: bool = False
    """Its turn stays in the context when older ones leave."""


class AnswerSoFar(Struct, frozen=True):
    """What came of an answer, to be written into message ``message_id``."""

    message_id: int
    text: str
    reasoning: str
    ids: list[int]
    tokenizer: str | None


class Provenance(Struct, frozen=True):
    """How an answer was made; enough to try it again."""

    model: str
    model_path: str
    model_bytes: int
    model_sha256: str | None
    format: str
    adapters: dict[str, float]
    sampling: dict[str, Any]
    seed: int
    threads: int
    threads_batch: int
    gpu_layers: int
    prompt_tokens: int
    reused_tokens: int
    completion_tokens: int
    ttft_s: float
    prefill_s: float
    decode_s: float
    finish_reason: str
    backend: str
    baize_tui: str
    profile: str = ""
    """The machine profile: what llama.cpp did without on this machine."""
