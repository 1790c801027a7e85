"""A conversation from another program, before it is one of ours."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from baize_shared.sanitizer import clean_line, clean_text
from baize_tui.chat.imports.problems import InvalidConversation
from baize_tui.chat.imports.tree_order import in_tree_order
from baize_tui.chat.titles import title_from_question
from baize_tui.store.records import ConversationTree, FinalState, Mark, Message, MessageRole
from baize_tui.store.tags import clean_tags
from baize_tui.translation import tr


class ParsedMessage(Struct, frozen=True):
    """A question or an answer; ``key`` is its name in the file, ``parent`` the key of the one
    before."""

    key: str
    parent: str | None
    role: MessageRole
    text: str
    reasoning: str = ""
    model: str = ""
    created_at: float | None = None
    state: FinalState = "complete"
    mark: Mark | None = None


class ParsedConversation(Struct, frozen=True):
    """A conversation as its file has it; times are seconds since 1970, None if unknown."""

    source: str
    """The program that it comes from, as a person knows it."""
    id: str
    """What tells it from all others of this program."""
    messages: Sequence[ParsedMessage]
    title: str = ""
    system: str = ""
    created_at: float | None = None
    updated_at: float | None = None
    current: str | None = None
    """The key of the message at the end of the branch that is shown; the newest if there is none
    with this key."""
    tags: Sequence[str] = ()
    pinned: bool = False
    archived: bool = False


class ImportedConversation(Struct, frozen=True):
    """A conversation to be added."""

    tree: ConversationTree
    placeholders: Counter[str] = field(default_factory=Counter)
    """How often its texts have something in place of what they have no room for."""
    left_out: Counter[str] = field(default_factory=Counter)
    """What is not in its texts, because its program hides it."""


def conversation_id(source: str, id: str) -> str:
    """The same id for the same conversation, however often it is imported."""
    return hashlib.sha256(f"{source}\n{id}".encode(errors="replace")).hexdigest()[:12]


def to_tree(parsed: ParsedConversation) -> ConversationTree:
    """``parsed`` as a conversation of this program, sanitized.

    Its model stays in its answers. The conversation itself has none: it goes on with the default.

    Raises:
        InvalidConversation: it has no messages, two with the same key, or a circle of them.
    """
    if not parsed.messages:
        raise InvalidConversation(tr("it has no messages"))
    ordered = in_tree_order(_without_missing_parents(parsed.messages))
    numbers = {message.key: number for number, message in enumerate(ordered, start=1)}
    id = conversation_id(parsed.source, parsed.id)
    times = [m.created_at for m in ordered if m.created_at is not None]
    created = parsed.created_at or min(times, default=None) or time.time()
    messages: list[Message] = []
    for message in ordered:
        parent = None if message.parent is None else numbers[message.parent]
        before = created if parent is None else messages[parent - 1].created_at
        messages.append(
            Message(
                id=numbers[message.key],
                conversation_id=id,
                parent_id=parent,
                role=message.role,
                state=message.state,
                text=clean_text(message.text),
                reasoning=clean_text(message.reasoning),
                ids=None,
                tokenizer=None,
                created_at=before if message.created_at is None else message.created_at,
                provenance=_provenance(message, parsed.source),
                mark=message.mark,
            )
        )
    leaf = numbers.get(parsed.current or "", len(ordered))
    return ConversationTree(
        id=id,
        title=_title(parsed.title, messages),
        title_source="person" if parsed.title else "question",
        created_at=created,
        updated_at=max(created, parsed.updated_at or max(times, default=created)),
        leaf_id=leaf,
        context_start=None,
        model=None,
        system=clean_text(parsed.system).strip(),
        moderation=True,
        format=None,
        tags=clean_tags(parsed.tags),
        pinned=parsed.pinned,
        archived=parsed.archived,
        messages=messages,
    )


def _without_missing_parents(messages: Sequence[ParsedMessage]) -> list[ParsedMessage]:
    """The messages; one begins a branch if the message before it is not in the file.

    Programs delete a message and leave its name in others, which still have all their words.
    """
    keys = {message.key for message in messages}
    return [
        message
        if message.parent is None or message.parent in keys
        else msgspec.structs.replace(message, parent=None)
        for message in messages
    ]


def _provenance(message: ParsedMessage, source: str) -> dict[str, Any] | None:
    """An answer without any would count as written by the person."""
    if message.role == "user":
        return None
    made = {"imported_from": source}
    return {"model": clean_line(message.model), **made} if message.model else made


def _title(title: str, messages: Sequence[Message]) -> str:
    first = next((message.text for message in messages if message.text.strip()), "")
    return clean_line(title) or title_from_question(first)
