"""ChatGPT's export: ``conversations.json``, in which a conversation maps ids to nodes of a tree.

A question has often several nodes as its answer: thoughts, the calls of tools and what these
return, and the text. Each run of them becomes one answer. Nodes without content are left out, and
those that ChatGPT never showed are counted; what is below them stays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct

from baize_tui.chat.imports.parsed import ParsedConversation, ParsedMessage
from baize_tui.chat.imports.placeholders import Placeholders, code_block, join_texts
from baize_tui.chat.imports.times import Time, read_time
from baize_tui.chat.imports.tree_order import in_tree_order
from baize_tui.store.records import FinalState

_CITATION = re.compile("\ue200[^\ue200\ue201]*+\ue201")
"""What ChatGPT shows as a link to a source, which is elsewhere in the file."""
_PICTURES = {"image_asset_pointer"}
_SOUNDS = {
    "audio_asset_pointer",
    "real_time_user_audio_video_asset_pointer",
    "video_container_asset_pointer",
}


class _Author(Struct):
    role: str | None = None
    name: str | None = None


class _Thought(Struct):
    summary: str | None = None
    content: str | None = None


class _Part(Struct):
    """A part of a message that is no text."""

    content_type: str | None = None
    text: str | None = None
    width: float | None = None
    height: float | None = None


class _Content(Struct):
    """The fields of all content types; each has some of them."""

    content_type: str = "text"
    parts: list[str | _Part | None] | None = None
    text: str | None = None
    language: str | None = None
    thoughts: list[_Thought] | None = None
    content: str | None = None
    result: str | None = None
    summary: str | None = None
    title: str | None = None
    url: str | None = None
    name: str | None = None
    user_profile: str | None = None
    user_instructions: str | None = None


class _Attachment(Struct):
    name: str | None = None


class _Finish(Struct):
    type: str | None = None


class _Instructions(Struct):
    """Custom instructions as the exports of 2023 have them."""

    about_user_message: str | None = None
    about_model_message: str | None = None


class _Metadata(Struct):
    model_slug: str | None = None
    user_context_message_data: _Instructions | None = None
    is_visually_hidden_from_conversation: bool | None = None
    attachments: list[_Attachment] | None = None
    finish_details: _Finish | None = None


class _Message(Struct):
    author: _Author | None = None
    content: _Content | None = None
    create_time: Time = None
    metadata: _Metadata | None = None
    weight: float | None = None
    recipient: str | None = None
    status: str | None = None


class _Node(Struct):
    message: _Message | None = None
    parent: str | None = None
    children: list[str] | None = None


class _Conversation(Struct):
    mapping: dict[str, _Node]
    id: str | None = None
    conversation_id: str | None = None
    title: str | None = None
    create_time: Time = None
    update_time: Time = None
    current_node: str | None = None
    default_model_slug: str | None = None
    """The model of the messages that name none."""
    is_archived: Any = None
    is_starred: Any = None


class _Piece(Struct):
    """A node; with ``role`` None there is nothing to show of it."""

    key: str
    parent: str | None
    created_at: float | None
    role: str | None = None
    text: str = ""
    reasoning: str = ""
    model: str = ""
    state: FinalState = "complete"


def parse_chatgpt(record: Raw, placeholders: Placeholders) -> ParsedConversation:
    """The conversation in ``record``, an element of ``conversations.json``.

    Raises:
        msgspec.ValidationError, InvalidConversation: it is none.
    """
    chat = msgspec.json.decode(record, type=_Conversation)
    systems: list[str] = []
    pieces = in_tree_order(
        [_read_node(key, node, systems, placeholders) for key, node in _with_parents(chat.mapping)]
    )
    shown = _without_empty(pieces)
    messages, owner = _join_runs(shown, chat.default_model_slug or "")
    current = None if chat.current_node is None else _last_shown(chat.current_node, pieces)
    return ParsedConversation(
        source="ChatGPT",
        id=chat.conversation_id or chat.id or repr(sorted(chat.mapping)),
        messages=messages,
        title=chat.title or "",
        system=join_texts(*dict.fromkeys(systems)),
        created_at=read_time(chat.create_time),
        updated_at=read_time(chat.update_time),
        current=None if current is None else owner[current],
        pinned=chat.is_starred is True,
        archived=chat.is_archived is True,
    )


def _with_parents(mapping: dict[str, _Node]) -> Iterator[tuple[str, _Node]]:
    """The nodes with their parents, which some have only in the list of children; one whose parent
    is not in the file has none."""
    parents = {child: key for key, node in mapping.items() for child in node.children or ()}
    for key, node in mapping.items():
        if node.parent not in mapping:
            node.parent = parents.get(key)
        yield key, node


def _read_node(key: str, node: _Node, systems: list[str], placeholders: Placeholders) -> _Piece:
    """One node; the text of instructions goes to ``systems``."""
    message = node.message
    piece = _Piece(key, node.parent, read_time(message.create_time) if message else None)
    if message is None or message.content is None:
        return piece
    content, metadata = message.content, message.metadata or _Metadata()
    given = metadata.user_context_message_data or _Instructions()
    instructions = join_texts(
        content.user_profile or given.about_user_message or "",
        content.user_instructions or given.about_model_message or "",
    )
    if instructions:
        systems.append(instructions)
        return piece
    if metadata.is_visually_hidden_from_conversation or message.weight == 0:
        if _plain_text(content).strip():
            placeholders.left_out["hidden message"] += 1
        return piece
    author = message.author or _Author()
    if author.role == "system":
        systems.append(_plain_text(content))
        return piece
    piece.role = "user" if author.role == "user" else "assistant"
    piece.model = metadata.model_slug or ""
    piece.state = _state(message, metadata)
    if content.content_type in ("thoughts", "reasoning_recap"):
        piece.reasoning = _thought(content)
    else:
        texts = [
            placeholders.line("file", attachment.name) for attachment in metadata.attachments or ()
        ]
        piece.text = join_texts(*texts, _text(message, author, content, placeholders))
    return piece


def _state(message: _Message, metadata: _Metadata) -> FinalState:
    finish = metadata.finish_details.type if metadata.finish_details is not None else None
    if finish == "interrupted":
        return "stopped"
    return "interrupted" if message.status == "in_progress" else "complete"


def _thought(content: _Content) -> str:
    if content.content_type == "reasoning_recap":
        return content.content or ""
    return join_texts(
        *(join_texts(t.summary or "", t.content or "") for t in content.thoughts or ())
    )


def _plain_text(content: _Content) -> str:
    texts = [part for part in content.parts or () if isinstance(part, str)]
    return join_texts(*texts, content.text or "", content.result or "", content.content or "")


def _text(message: _Message, author: _Author, content: _Content, placeholders: Placeholders) -> str:
    """What is shown of the content, with placeholders for what is no text."""
    kind, recipient = content.content_type, message.recipient or "all"
    if author.role == "tool":
        name = author.name
        others = [
            _part_text(part, placeholders)
            for part in content.parts or ()
            if isinstance(part, _Part)
        ]
        output = _plain_text(content) or (content.summary or "")
        if not output.strip() and others:
            return join_texts(*others)
        return join_texts(placeholders.block("tool result", name, output), *others)
    if kind == "code" or recipient != "all":
        code = content.text or _plain_text(content)
        if recipient == "all":
            return code_block(code, content.language or "")
        return placeholders.block("tool call", recipient, code, content.language or "")
    if kind == "tether_quote":
        return join_texts(
            placeholders.line("quote", content.url or content.title), content.text or ""
        )
    if kind == "system_error":
        return join_texts(placeholders.line("error", content.name), content.text or "")
    texts = [
        part if isinstance(part, str) else _part_text(part, placeholders)
        for part in content.parts or ()
        if part is not None
    ]
    text = join_texts(*texts) if texts else _plain_text(content)
    if not text.strip() and kind not in ("text", "multimodal_text", "model_editable_context"):
        return placeholders.line("unknown content", kind)
    return _CITATION.sub(lambda _: placeholders.line("citation"), text)


def _part_text(part: _Part, placeholders: Placeholders) -> str:
    kind = part.content_type or "part"
    if part.text is not None:
        return part.text  # of a text, or what was heard in a sound
    if kind in _PICTURES:
        size = f"{part.width:g}x{part.height:g}" if part.width and part.height else ""
        return placeholders.line("image", size)
    if kind in _SOUNDS:
        return placeholders.line("recording")
    return placeholders.line("unknown content", kind)


def _is_empty(piece: _Piece) -> bool:
    return piece.role is None or not (piece.text.strip() or piece.reasoning.strip())


def _without_empty(pieces: list[_Piece]) -> list[_Piece]:
    """The pieces that show something, each below the last such one before it."""
    shown_above: dict[str | None, str | None] = {None: None}
    shown = []
    for piece in pieces:
        piece.parent = shown_above[piece.parent]
        if _is_empty(piece):
            shown_above[piece.key] = piece.parent
        else:
            shown_above[piece.key] = piece.key
            shown.append(piece)
    return shown


def _last_shown(key: str, pieces: list[_Piece]) -> str | None:
    """The key of the node ``key``, or of the last one before it that shows something."""
    piece = next((piece for piece in pieces if piece.key == key), None)
    if piece is None:
        return None
    return piece.parent if _is_empty(piece) else key


def _join_runs(pieces: list[_Piece], model: str) -> tuple[list[ParsedMessage], dict[str, str]]:
    """One message for each run of answers without a branch, and the message of each piece.

    ``model`` is that of the answers that name none.
    """
    children = Counter(piece.parent for piece in pieces)
    runs: dict[str, list[_Piece]] = {}
    owner: dict[str, str] = {}
    for piece in pieces:
        above = owner.get(piece.parent or "")
        is_next = above is not None and children[piece.parent] == 1
        if is_next and piece.role == "assistant" == runs[above or ""][-1].role:
            owner[piece.key] = above or ""
            runs[above or ""].append(piece)
        else:
            owner[piece.key] = piece.key
            runs[piece.key] = [piece]
    return [_message(run, owner, model) for run in runs.values()], owner


def _message(run: list[_Piece], owner: dict[str, str], model: str) -> ParsedMessage:
    first, last = run[0], run[-1]
    named = next((piece.model for piece in reversed(run) if piece.model), model)
    return ParsedMessage(
        key=first.key,
        parent=None if first.parent is None else owner[first.parent],
        role="user" if first.role == "user" else "assistant",
        text=join_texts(*(piece.text for piece in run)),
        reasoning=join_texts(*(piece.reasoning for piece in run)),
        model=named if first.role != "user" else "",
        created_at=first.created_at,
        state=last.state,
    )
