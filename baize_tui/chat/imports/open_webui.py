"""Open WebUI's export: a list of chats, each with a history of messages by their ids.

The first versions had only a list of messages. Thoughts and the calls of tools are HTML in the text
of an answer, as Open WebUI shows them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from baize_tui.chat.imports.parsed import ParsedConversation, ParsedMessage
from baize_tui.chat.imports.placeholders import Placeholders, join_texts
from baize_tui.chat.imports.problems import InvalidConversation
from baize_tui.chat.imports.times import Time, read_time
from baize_tui.store.records import Mark, MessageRole
from baize_tui.translation import tr

_BEGIN, _END = "<details", "</details>"
_SUMMARY_BEGIN, _SUMMARY_END = "<summary>", "</summary>"
_ATTRIBUTE = re.compile(r'\b(\w++)="([^"]*+)"')
_MARKS: dict[float | None, Mark] = {1: "good", -1: "bad"}


class _Part(Struct):
    """A part of a content that is a list."""

    type: str = "text"
    text: str | None = None


class _File(Struct):
    type: str | None = None
    name: str | None = None


class _Annotation(Struct):
    rating: Any = None


class _Output(Struct):
    """A step of an answer, as newer versions keep it beside the content."""

    content: list[_Part] | None = None


class _Message(Struct):
    role: str | None = None
    """A message that was changed after it had been deleted has none."""
    content: str | list[_Part] | None = None
    id: str | None = None
    parent: str | None = field(name="parentId", default=None)
    timestamp: Time = None
    model: str | None = None
    files: list[_File] | None = None
    done: bool | None = None
    annotation: _Annotation | None = None
    output: list[_Output] | None = None
    error: Any = None


class _History(Struct):
    messages: dict[str, _Message | None] = {}
    current: str | None = field(name="currentId", default=None)


class _Parameters(Struct):
    system: str | None = None


class _Chat(Struct):
    title: str | None = None
    history: _History | None = None
    messages: list[_Message] | None = None
    params: _Parameters | None = None
    system: str | None = None
    timestamp: Time = None


class _Record(Struct):
    chat: _Chat | UnsetType = UNSET
    id: str | None = None
    title: str | None = None
    created_at: Time = None
    updated_at: Time = None
    pinned: Any = None
    archived: Any = None
    meta: Any = None


def parse_open_webui(record: Raw, placeholders: Placeholders) -> ParsedConversation:
    """The conversation in ``record``: a chat with what the database knows of it, or a chat alone.

    Raises:
        msgspec.ValidationError, InvalidConversation: it is none.
    """
    outer = msgspec.json.decode(record, type=_Record)
    chat = msgspec.json.decode(record, type=_Chat) if outer.chat is UNSET else outer.chat
    history = chat.history or _History()
    found = {key: message for key, message in history.messages.items() if message is not None}
    found = found or _as_history(chat.messages or [])
    system = (chat.params.system if chat.params else None) or chat.system or ""
    return ParsedConversation(
        source="Open WebUI",
        id=outer.id or msgspec.json.encode(found).decode(),
        messages=[_message(key, message, placeholders) for key, message in found.items()],
        title=outer.title or chat.title or "",
        system=system,
        created_at=read_time(outer.created_at) or read_time(chat.timestamp),
        updated_at=read_time(outer.updated_at),
        current=history.current if history.messages else None,
        tags=_tags(outer.meta),
        pinned=outer.pinned is True,
        archived=outer.archived is True,
    )


def _tags(meta: Any) -> list[str]:
    """The tags of a chat, by their ids, which are words."""
    tags = meta.get("tags") if isinstance(meta, dict) else None
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def _as_history(messages: list[_Message]) -> dict[str, _Message]:
    """A list of messages, each of which follows the one before it."""
    found: dict[str, _Message] = {}
    before: str | None = None
    for place, message in enumerate(messages):
        message.parent = before
        before = message.id or f"message {place}"
        if before in found:
            raise InvalidConversation(tr("two messages have the same id"))
        found[before] = message
    return found


def _message(key: str, message: _Message, placeholders: Placeholders) -> ParsedMessage:
    role: MessageRole = "user" if message.role == "user" else "assistant"
    texts = [
        placeholders.line("image" if file.type == "image" else "file", file.name)
        for file in message.files or ()
    ]
    if message.role not in ("user", "assistant", None):
        texts.insert(0, placeholders.line(f"{message.role} message"[:40]))
    text, thought = _content(message, placeholders)
    if message.error:
        text = join_texts(text, placeholders.line("error", _error_text(message.error)))
    return ParsedMessage(
        key=key,
        parent=message.parent or None,
        role=role,
        text=join_texts(*texts, text),
        reasoning=thought,
        model=(message.model or "") if role == "assistant" else "",
        created_at=read_time(message.timestamp),
        state="interrupted" if message.done is False else "complete",
        mark=_mark(message.annotation),
    )


def _mark(annotation: _Annotation | None) -> Mark | None:
    rating = annotation.rating if annotation is not None else None
    return _MARKS.get(rating) if isinstance(rating, int | float) else None


def _error_text(error: Any) -> str:
    content = error.get("content") if isinstance(error, dict) else error
    return content if isinstance(content, str) else ""


def _content(message: _Message, placeholders: Placeholders) -> tuple[str, str]:
    """The text of a message, and the thought that stands in it."""
    content = message.content or ""
    if not content:
        content = [part for step in message.output or () for part in step.content or ()]
    if not isinstance(content, str):
        content = join_texts(
            *(
                part.text if part.text is not None else placeholders.line(part.type[:40])
                for part in content
            )
        )
    if message.role == "user":
        return content, ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in _split_details(content):
        if isinstance(part, str):
            texts.append(part)
        elif part.kind == "reasoning":
            # It is a quotation that was escaped.
            lines = html.unescape(part.body).split("\n")
            thoughts.append("\n".join(re.sub("^> ?", "", line) for line in lines))
        else:
            texts.append(_details_text(part, placeholders))
    return "".join(texts).strip("\n"), join_texts(*thoughts)


class _Details(Struct):
    """An element ``<details>``, of which Open WebUI shows only the summary."""

    source: str
    """The element as it is in the text."""
    attributes: dict[str, str]
    body: str
    """What it contains below the summary."""

    @property
    def kind(self) -> str | None:
        return self.attributes.get("type")


def _split_details(text: str) -> Iterator[str | _Details]:
    """The parts of ``text``; no regular expression finds them in linear time."""
    at = 0
    while (begin := text.find(_BEGIN, at)) >= 0:
        inside = text.find(">", begin) + 1
        end = text.find(_END, inside) if inside else -1
        if end < 0:
            break
        yield text[at:begin]
        at = end + len(_END)
        body = text[inside:end].lstrip()
        if body.startswith(_SUMMARY_BEGIN) and (summary := body.find(_SUMMARY_END)) >= 0:
            body = body[summary + len(_SUMMARY_END) :]
        attributes = {
            name: html.unescape(value) for name, value in _ATTRIBUTE.findall(text[begin:inside])
        }
        yield _Details(text[begin:at], attributes, body.strip("\n"))
    yield text[at:]


def _details_text(details: _Details, placeholders: Placeholders) -> str:
    """What stays of an element that is no thought."""
    name = details.attributes.get("name")
    match details.kind:
        case "tool_calls":
            arguments = details.attributes.get("arguments", "")
            call = placeholders.block("tool call", name, arguments, "json")
            if result := details.attributes.get("result", ""):
                call = f"{call}\n\n{placeholders.block('tool result', name, result)}"
            return f"{call}\n"
        case "code_interpreter":
            return join_texts(placeholders.line("tool call", "code interpreter"), details.body)
    return details.source
