"""Why a server says that an answer has ended: every provider has words of its own."""

from __future__ import annotations

from typing import Literal

End = Literal["ended", "cut", "filtered", "tool", "failed"]
"""``ended``: by the model. ``cut``: at the largest length. ``failed``: the server broke it off."""

_ENDS: dict[str, End] = {
    "length": "cut",
    "max_tokens": "cut",
    "max_output_tokens": "cut",
    "model_length": "cut",
    "content_filter": "filtered",
    "safety": "filtered",
    "recitation": "filtered",
    "blocklist": "filtered",
    "prohibited_content": "filtered",
    "spii": "filtered",
    "refusal": "filtered",
    "tool_calls": "tool",
    "function_call": "tool",
    "tool_use": "tool",
    "error": "failed",
    "abort": "failed",
    "aborted": "failed",
    "cancelled": "failed",
    "insufficient_system_resource": "failed",
}
"""In lower case; the others are ends by the model."""


def read_end(finish_reason: str) -> End:
    """What ``finish_reason`` of a choice means."""
    return _ENDS.get(finish_reason.lower(), "ended")
