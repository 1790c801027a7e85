"""Claude's export: ``conversations.json``, in which a conversation has a list of messages.

Newer exports name the message before each one, so edits are branches; in older ones, each message
follows the one before it in the list.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from baize_shared.sanitizer import clean_line
from baize_tui.chat.imports.parsed import ParsedConversation, ParsedMessage
from baize_tui.chat.imports.placeholders import Placeholders, join_texts
from baize_tui.chat.imports.problems import InvalidConversation
from baize_tui.chat.imports.times import Time, read_time
from baize_tui.store.records import MessageRole
from baize_tui.translation import tr

_ROLES: dict[str, MessageRole] = {"human": "user", "user": "user", "assistant": "assistant"}
_NO_PARENT = {"00000000-0000-4000-8000-000000000000", "00000000-0000-0000-0000-000000000000"}
"""What the first message names as the one before it."""
_SILENT = {"token_budget", "flag"}
"""Blocks that are never shown."""


class _Block(Struct):
    """The fields of all types of blocks; each has some of them."""

    type: str = "text"
    text: str | None = None
    thinking: str | None = None
    name: str | None = None
    input: Any = None
    content: Any = None
    """Of a tool's result: a text, or a list of blocks."""


class _File(Struct):
    file_name: str | None = None
    extracted_content: str | None = None


class _Message(Struct):
    uuid: str
    sender: str
    text: str | None = None
    content: list[_Block] | str | None = None
    created_at: Time = None
    attachments: list[_File] | None = None
    files: list[_File] | None = None
    files_v2: list[_File] | None = None
    parent_message_uuid: str | None = None


class _Conversation(Struct):
    chat_messages: list[_Message]
    uuid: str | None = None
    name: str | None = None
    model: str | None = None
    created_at: Time = None
    updated_at: Time = None
    current_leaf_message_uuid: str | None = None
    is_starred: Any = None


def parse_claude(record: Raw, placeholders: Placeholders) -> ParsedConversation:
    """The conversation in ``record``, an element of ``conversations.json``.

    Raises:
        msgspec.ValidationError, InvalidConversation: it is none.
    """
    chat = msgspec.json.decode(record, type=_Conversation)
    is_tree = any(message.parent_message_uuid for message in chat.chat_messages)
    messages: list[ParsedMessage] = []
    before: str | None = None
    for message in chat.chat_messages:
        role = _ROLES.get(message.sender)
        if role is None:
            raise InvalidConversation(
                tr("a message is from the unknown sender {sender}", sender=repr(message.sender))
            )
        parent = message.parent_message_uuid if is_tree else before
        messages.append(
            ParsedMessage(
                key=message.uuid,
                parent=None if parent in _NO_PARENT else parent,
                role=role,
                text=_text(message, placeholders),
                reasoning=join_texts(*(block.thinking or "" for block in _blocks(message))),
                model=(chat.model or "") if role == "assistant" else "",
                created_at=read_time(message.created_at),
            )
        )
        before = message.uuid
    return ParsedConversation(
        source="Claude",
        id=chat.uuid or repr([message.key for message in messages]),
        messages=messages,
        title=chat.name or "",
        created_at=read_time(chat.created_at),
        updated_at=read_time(chat.updated_at),
        current=chat.current_leaf_message_uuid,
        pinned=chat.is_starred is True,
    )


def _text(message: _Message, placeholders: Placeholders) -> str:
    """Attached files, then the blocks, or the text of an export that has no blocks."""
    parts = [
        placeholders.block("file", file.file_name, file.extracted_content or "")
        for file in message.attachments or ()
    ]
    files = message.files or message.files_v2 or ()
    parts += [placeholders.line("file", file.file_name) for file in files]
    blocks = [_block_text(block, placeholders) for block in _blocks(message)]
    if any(text.strip() for text in blocks):
        return join_texts(*parts, *blocks)
    return join_texts(*parts, message.text or "")


def _blocks(message: _Message) -> list[_Block]:
    content = message.content
    return [_Block(text=content)] if isinstance(content, str) else content or []


def _block_text(block: _Block, placeholders: Placeholders) -> str:
    match block.type:
        case "text" | "voice_note":
            return block.text or ""
        case "thinking":
            return ""
        case "tool_use":
            return placeholders.block("tool call", block.name, _as_json(block.input), "json")
        case "tool_result":
            return placeholders.block("tool result", block.name, _result_text(block.content))
        case "image":
            return placeholders.line("image")
        case kind if kind in _SILENT:
            return ""
        case kind:
            return join_texts(
                placeholders.line("unknown content", clean_line(kind, 40)), block.text or ""
            )


def _as_json(value: Any) -> str:
    """``value`` as indented JSON; empty for nothing."""
    if value in (None, {}, "", []):
        return ""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _result_text(content: Any) -> str:
    """The texts in a tool's result; anything else in it as JSON."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return _as_json(content)
    texts = [
        block["text"]
        if isinstance(block, dict) and isinstance(block.get("text"), str)
        else _as_json(block)
        for block in content
    ]
    return join_texts(*texts)
