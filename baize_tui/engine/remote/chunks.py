"""The pieces of a streamed completion. A server may send anything, so every field is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from baize_shared.sanitizer import without_surrogates
from baize_tui.engine.remote.server_faults import count_in

_NO_END = ("", "null", "none", "None")
"""What some servers send as the finish reason of a piece that is not the last one."""


class Usage(Struct, frozen=True):
    """Counts of tokens as the server says them; 0 for unknown."""

    prompt: int = 0
    reused: int = 0
    completion: int = 0
    thinking: int = 0


class Chunk(Struct, frozen=True):
    """A piece of an answer."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str = ""
    usage: Usage | None = None
    is_whole: bool = False
    """Whether it is all of the answer, which some servers repeat at the end of a stream."""
    calls_tool: bool = False


def read_chunk(raw: object) -> Chunk | None:
    """The chunk in decoded JSON, an empty one where that has no answer; None if it is none."""
    raw = without_surrogates(raw)
    if not isinstance(raw, Mapping):
        return None
    usage = _read_usage(raw.get("usage"))
    choices = raw.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    if not isinstance(choice, Mapping):
        return None
    delta = choice.get("delta")
    is_whole = not delta and bool(choice.get("message"))
    if not delta:
        delta = choice.get("message") or {}
    if not isinstance(delta, Mapping):
        return None
    reason = choice.get("finish_reason")
    return Chunk(
        # OpenAI has a field of its own for why the model does not answer.
        text=text_in(delta.get("content"))
        or text_in(delta.get("refusal"))
        or text_in(choice.get("text")),  # of the older interface
        # vLLM has renamed the field, and sends both for a while.
        reasoning=text_in(delta.get("reasoning_content"))
        or text_in(delta.get("reasoning"))
        or thoughts_in(delta.get("content")),
        finish_reason=reason if isinstance(reason, str) and reason not in _NO_END else "",
        usage=usage,
        is_whole=is_whole,
        calls_tool=bool(delta.get("tool_calls") or delta.get("function_call")),
    )


def text_in(value: Any) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    parts = (part.get("text") for part in value if isinstance(part, Mapping))
    return "".join(part for part in parts if isinstance(part, str))


def thoughts_in(content: Any) -> str:
    """The thoughts among the parts of a content, as Mistral sends them."""
    if not isinstance(content, list):
        return ""
    thoughts = (part.get("thinking") for part in content if isinstance(part, Mapping))
    return "".join(text_in(thought) for thought in thoughts)


def _read_usage(value: object) -> Usage | None:
    if not isinstance(value, Mapping):
        return None
    prompt_details = value.get("prompt_tokens_details")
    details = value.get("completion_tokens_details")
    return Usage(
        prompt=count_in(value.get("prompt_tokens")),
        reused=_detail(prompt_details, "cached_tokens"),
        completion=count_in(value.get("completion_tokens")),
        thinking=_detail(details, "reasoning_tokens"),
    )


def _detail(details: object, name: str) -> int:
    return count_in(details.get(name)) if isinstance(details, Mapping) else 0
