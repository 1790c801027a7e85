"""Lists of turns: ShareGPT's ``conversations``, and the ``messages`` of training programs.

llama.cpp's web client writes such a list too, in which each message names the one before it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from baize_tui.chat.imports.parsed import ParsedConversation, ParsedMessage
from baize_tui.chat.imports.placeholders import Placeholders, join_texts
from baize_tui.chat.imports.problems import InvalidConversation
from baize_tui.chat.imports.times import Time, read_time
from baize_tui.store.records import MessageRole
from baize_tui.translation import tr

_ROLES: dict[str, MessageRole] = {
    **dict.fromkeys(("human", "user", "prompter"), "user"),
    **dict.fromkeys(
        ("gpt", "chatgpt", "assistant", "model", "ai", "bot", "bing", "bard", "claude"), "assistant"
    ),
}
_TOOLS = {
    "function_call": "tool call",
    "tool_call": "tool call",
    "observation": "tool result",
    "function": "tool result",
    "function_response": "tool result",
    "tool": "tool result",
}


class _Part(Struct):
    type: str = "text"
    text: str | None = None


class _Call(Struct):
    """The call of a tool; its function has a name and arguments."""

    function: Any = None


class _File(Struct):
    """An attachment of llama.cpp's web client."""

    name: str | None = None
    content: str | None = None


class _Turn(Struct):
    id: str | int | None = None
    parent: str | int | None = None
    speaker: str | None = field(name="from", default=None)
    value: str | None = None
    role: str | None = None
    content: str | list[_Part | str] | None = None
    text: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | str | None = None
    model: str | None = None
    timestamp: Time = None
    extra: list[_File] | None = None


class _Head(Struct):
    """What llama.cpp's web client knows of a conversation."""

    name: str | None = None
    current: str | int | None = field(name="currNode", default=None)


class _Record(Struct):
    conversations: list[_Turn] | None = None
    conversation: list[_Turn] | None = None
    messages: list[_Turn] | None = None
    items: list[_Turn] | None = None
    conv: _Head | None = None
    system: str | None = None
    title: str | None = None
    model: str | None = None
    created_at: Time = None
    updated_at: Time = None


def parse_sharegpt(record: Raw, placeholders: Placeholders) -> ParsedConversation:
    """The conversation in ``record``.

    Its ids are often numbers within a file, so it is known by its content.

    Raises:
        msgspec.ValidationError, InvalidConversation: it is none.
    """
    decoded = msgspec.json.decode(record, type=_Record | list[_Turn])
    found = decoded if isinstance(decoded, _Record) else _Record(messages=decoded)
    turns = found.conversations or found.conversation or found.messages or found.items or []
    messages: list[ParsedMessage] = []
    systems = [found.system or ""]
    head = found.conv or _Head()
    # Without a name for each, a parent is no place in the list.
    is_tree = found.conv is not None and all(turn.id is not None for turn in turns)
    for turn in turns:
        speaker = (turn.speaker or turn.role or "").strip().lower()
        text = _text(turn, placeholders)
        role = _ROLES.get(speaker)
        if speaker in ("system", "developer"):
            if not messages:
                systems.append(text)
                continue
            # Between the turns it is a word to the model, as a question is.
            text, role = join_texts(placeholders.line("system message"), text), "user"
        if role is None and speaker in _TOOLS:
            text, role = placeholders.block(_TOOLS[speaker], "", text), "assistant"
        if role is None:
            raise InvalidConversation(
                tr("a turn is from {speaker}, which is no known role", speaker=repr(speaker))
            )
        messages.append(
            ParsedMessage(
                key=str(turn.id) if is_tree else str(len(messages) + 1),
                parent=_parent(turn, messages, is_tree=is_tree),
                role=role,
                text=text,
                reasoning=_thought(turn) if role == "assistant" else "",
                model=(turn.model or found.model or "") if role == "assistant" else "",
                created_at=read_time(turn.timestamp),
            )
        )
    system = join_texts(*systems)
    return ParsedConversation(
        source="ShareGPT",
        id=_content_hash(system, messages),
        messages=messages,
        title=found.title or head.name or "",
        system=system,
        current=str(head.current) if is_tree else None,
        created_at=read_time(found.created_at),
        updated_at=read_time(found.updated_at),
    )


def _parent(turn: _Turn, before: list[ParsedMessage], *, is_tree: bool) -> str | None:
    """The key of the message before ``turn``; that of a system prompt is no message here."""
    if is_tree:
        return None if turn.parent is None else str(turn.parent)
    return before[-1].key if before else None


def _thought(turn: _Turn) -> str:
    """The thought, under the name that vLLM, OpenRouter or Ollama has for it."""
    return turn.reasoning_content or turn.reasoning or turn.thinking or ""


def _text(turn: _Turn, placeholders: Placeholders) -> str:
    value = next((v for v in (turn.value, turn.content, turn.text) if v is not None), None)
    if isinstance(value, list):
        value = join_texts(*(_part_text(part, placeholders) for part in value))
    files = (placeholders.block("file", f.name, f.content or "") for f in turn.extra or ())
    value = join_texts(*files, value or "") if turn.extra else value
    if not turn.tool_calls:
        return value or ""
    if isinstance(turn.tool_calls, str):
        return join_texts(value or "", placeholders.block("tool call", "", turn.tool_calls, "json"))
    calls = (msgspec.json.encode(call.function).decode() for call in turn.tool_calls)
    return join_texts(
        value or "", *(placeholders.block("tool call", "", call, "json") for call in calls)
    )


def _part_text(part: _Part | str, placeholders: Placeholders) -> str:
    if isinstance(part, str):
        return part
    return part.text if part.text is not None else placeholders.line(part.type[:40])


def _content_hash(system: str, messages: list[ParsedMessage]) -> str:
    content = [system, *((message.role, message.text) for message in messages)]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()
