"""Conversations as ``baize-tui sessions`` prints them, for a person and as JSON."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

from baize_tui.chat.context import start_of_context
from baize_tui.store.records import (
    Conversation,
    Message,
    MessageState,
    Place,
    SearchResult,
    SearchResults,
)
from baize_tui.translation import msg, tr

_STATES: dict[MessageState, str] = {
    "complete": msg("complete"),
    "streaming": msg("streaming"),
    "stopped": msg("stopped"),
    "interrupted": msg("interrupted"),
    "failed": msg("failed"),
}
_PLACES: dict[Place, str] = {
    "title": msg("title"),
    "question": msg("question"),
    "answer": msg("answer"),
    "thought": msg("thought"),
}


def conversation_json(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "title": conversation.title,
        "created_at": _iso(conversation.created_at),
        "updated_at": _iso(conversation.updated_at),
        "model": conversation.model,
        "moderation": conversation.moderation,
        "tags": conversation.tags,
        "pinned": conversation.pinned,
        "archived": conversation.archived,
    }


def transcript_json(conversation: Conversation, messages: Sequence[Message]) -> dict[str, Any]:
    return {
        **conversation_json(conversation),
        "system": conversation.system,
        "context_start": _context_start(conversation, messages),
        "messages": [
            {
                "id": message.id,
                "role": message.role,
                "text": message.text,
                "reasoning": message.reasoning,
                "state": message.state,
                "pinned": message.pinned,
                "branch_name": message.name,
                "summary": message.summary,
                "created_at": _iso(message.created_at),
                "provenance": message.provenance,
            }
            for message in messages
        ],
    }


def list_line(conversation: Conversation) -> str:
    """Id, time of the last use, title, and how it is organized."""
    used = datetime.datetime.fromtimestamp(conversation.updated_at)
    marks = [
        *(f"#{tag}" for tag in conversation.tags),
        *([tr("(pinned)")] if conversation.pinned else []),
        *([tr("(archived)")] if conversation.archived else []),
    ]
    return "  ".join((conversation.id, f"{used:%Y-%m-%d %H:%M}", conversation.title, *marks))


def transcript_parts(conversation: Conversation, messages: Sequence[Message]) -> Iterator[str]:
    """The title and each message, as Markdown."""
    yield f"# {conversation.title}"
    start = _context_start(conversation, messages)
    for message in messages:
        if message.id == start:
            yield f"\n_{_cut_line(message, messages)}_"
            if message.summary:
                yield f"\n{_quoted(message.summary)}"
        name = tr("You") if message.role == "user" else tr("Model")
        if message.state != "complete":
            name = tr("{name} ({state})", name=name, state=tr(_STATES[message.state]))
        yield f"\n## {name}\n"
        if thought := message.reasoning.strip():
            yield _quoted(thought)
            yield ""
        yield message.text.strip()


def _context_start(conversation: Conversation, messages: Sequence[Message]) -> int | None:
    """The number of the first message that the model still sees; None if it sees all."""
    start = start_of_context(messages, conversation.context_start)
    return messages[start].id if start is not None else None


def _cut_line(first: Message, messages: Sequence[Message]) -> str:
    """What the model sees of the ``messages`` before ``first``."""
    pinned = any(message.pinned for message in messages if message.id < first.id)
    if first.summary and pinned:
        return tr("Of the turns above, the model sees pinned turns and this summary:")
    if first.summary:
        return tr("Of the turns above, the model sees this summary:")
    if pinned:
        return tr("Of the turns above, the model sees only pinned ones.")
    return tr("The model no longer sees the turns above.")


def _quoted(text: str) -> str:
    """``text`` as a quotation in Markdown."""
    return "\n".join(f"> {line}".rstrip() for line in text.strip().split("\n"))


def search_json(found: SearchResults) -> dict[str, Any]:
    return {
        "results": [
            {
                "session_id": result.conversation_id,
                "title": result.title,
                "message_id": result.message_id,
                "place": result.place,
                "model": result.model or None,
                "time": _iso(result.time),
                "excerpt": result.excerpt,
                "matches": result.matches,
                "archived": result.archived,
            }
            for result in found.results
        ],
        "more": found.is_cut,
    }


def search_lines(found: SearchResults, *, bold: bool) -> Iterator[str]:
    """Two lines for each result: what it is, and the text around the match, which is ``bold``."""
    for result in found.results:
        when = f"{datetime.datetime.fromtimestamp(result.time):%Y-%m-%d %H:%M}"
        archived = tr("(archived)") if result.archived else ""
        parts = (
            result.conversation_id,
            when,
            tr(_PLACES[result.place]),
            result.model,
            result.title,
            archived,
        )
        yield "  ".join(part for part in parts if part)
        if result.place != "title":
            yield f"    {_with_bold_matches(result) if bold else result.excerpt}"


def _with_bold_matches(result: SearchResult) -> str:
    text, at = "", 0
    for start, end in result.matches:
        text += f"{result.excerpt[at:start]}\x1b[1m{result.excerpt[start:end]}\x1b[22m"
        at = end
    return text + result.excerpt[at:]


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()
