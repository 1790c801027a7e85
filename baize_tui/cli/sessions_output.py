"""Conversations as ``baize-tui sessions`` prints them, for a person and as JSON."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

from baize_tui.store.records import Conversation, Message


def conversation_json(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "title": conversation.title,
        "created_at": _iso(conversation.created_at),
        "updated_at": _iso(conversation.updated_at),
        "model": conversation.model,
        "moderation": conversation.moderation,
    }


def transcript_json(conversation: Conversation, messages: Sequence[Message]) -> dict[str, Any]:
    return {
        **conversation_json(conversation),
        "system": conversation.system,
        "messages": [
            {
                "id": message.id,
                "role": message.role,
                "text": message.text,
                "reasoning": message.reasoning,
                "state": message.state,
                "created_at": _iso(message.created_at),
                "provenance": message.provenance,
            }
            for message in messages
        ],
    }


def list_line(conversation: Conversation) -> str:
    """Id, time of the last use, and title."""
    used = datetime.datetime.fromtimestamp(conversation.updated_at)
    return f"{conversation.id}  {used:%Y-%m-%d %H:%M}  {conversation.title}"


def transcript_parts(conversation: Conversation, messages: Sequence[Message]) -> Iterator[str]:
    """The title and each message, as Markdown."""
    yield f"# {conversation.title}"
    for message in messages:
        state = "" if message.state == "complete" else f" ({message.state})"
        name = "You" if message.role == "user" else "Model"
        yield f"\n## {name}{state}\n"
        if thought := message.reasoning.strip():
            yield "\n".join(f"> {line}".rstrip() for line in thought.split("\n"))
            yield ""
        yield message.text.strip()


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()
