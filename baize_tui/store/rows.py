"""How the rows of the tables become records and records rows, and token ids bytes.

Other programs may have written the rows. So every text is sanitized here, and a value that is not
what its column is for is read as the column's default. Only ids and paths stay as they are: with
them, rows and files are found.
"""

from __future__ import annotations

import array
import math
import sqlite3
import sys
from collections.abc import Sequence
from typing import Any, TypeVar, get_args

import msgspec
from msgspec.structs import replace

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.sanitizer import clean_line, clean_text, clean_values
from baize_tui.output_forms import CheckedForm, OutputForm
from baize_tui.settings import Overflow, Scale
from baize_tui.store.draft_parts import valid_attachments
from baize_tui.store.records import (
    AnswerSummary,
    Attachment,
    Conversation,
    ListedConversation,
    Mark,
    Message,
    TitleSource,
)
from baize_tui.store.tags import clean_tags

MARK_NUMBERS: dict[Mark | None, int | None] = {"good": 1, "bad": -1, None: None}
"""How the column ``mark`` stores a mark."""
_MARKS = {number: mark for mark, number in MARK_NUMBERS.items()}
NO_TAGS = "[]"
"""What the column ``tags`` is for a conversation without any."""
_LATEST = 253402300799.0
"""The last second of the year 9999, after which ``datetime`` ends."""

Value = TypeVar("Value")
_decode_summary = msgspec.json.Decoder(AnswerSummary).decode


def read_conversation(row: sqlite3.Row) -> Conversation:
    return Conversation(
        id=row["id"],
        title=clean_line(row["title"]),
        created_at=read_time(row["created_at"]),
        updated_at=read_time(row["updated_at"]),
        leaf_id=row["leaf_id"],
        context_start=row["context_start"],
        model=_read_name(row["model"]),
        system=clean_text(row["system"]),
        moderation=bool(row["moderation"]),
        format=_read_name(row["format"]),
        sampling=_read_json(row["sampling"], dict[str, Any]) or {},
        overflow=row["overflow"] if row["overflow"] in get_args(Overflow) else None,
        adapters=read_adapters(row["adapters"]),
        model_path=row["model_path"],
        model_sha256=_read_name(row["model_sha256"]),
        think=None if row["think"] is None else bool(row["think"]),
        title_source=_read_title_source(row["title_source"]),
        tags=read_tags(row["tags"]),
        pinned=bool(row["pinned"]),
        archived=bool(row["archived"]),
        persona=clean_line(row["persona"]),
        stop=_read_json(row["stop"], tuple[str, ...]) or (),
    )


def read_listed(row: sqlite3.Row) -> ListedConversation:
    return ListedConversation(
        id=row["id"],
        title=clean_line(row["title"]),
        title_source=_read_title_source(row["title_source"]),
        updated_at=read_time(row["updated_at"]),
        tags=tuple(read_tags(row["tags"])),
        pinned=bool(row["pinned"]),
        archived=bool(row["archived"]),
        deleted_at=None if row["deleted_at"] is None else read_time(row["deleted_at"]),
    )


def read_message(row: sqlite3.Row, *, with_provenance: bool = True) -> Message:
    """``with_provenance`` reads all of it, not only what is shown below an answer."""
    text = clean_text(row["text"])
    return Message(
        id=row["id"],
        conversation_id=row["conversation_id"],
        parent_id=read_parent(row["id"], row["parent_id"]),
        role=row["role"],
        state=row["state"],
        text=text,
        reasoning=clean_text(row["reasoning"]),
        ids=unpack_ids(row["ids"]),
        tokenizer=row["tokenizer"],
        created_at=read_time(row["created_at"]),
        provenance=_read_provenance(row["provenance"]) if with_provenance else None,
        made=_read_summary(row["provenance"]),
        mark=_MARKS.get(row["mark"]),
        pinned=bool(row["pinned"]),
        summary=clean_text(row["summary"] or ""),
        name=clean_line(row["name"] or ""),
        attachments=_read_attachments(row["attachments"], text),
        form=_read_form(row["form"]),
    )


def conversation_columns(conversation: Conversation) -> dict[str, Any]:
    """The columns of the row of ``conversation``."""
    own = Conversation.__struct_fields__  # without the messages of a tree
    return {
        **{name: getattr(conversation, name) for name in own},
        "title": clean_line(conversation.title),
        "system": clean_text(conversation.system),
        "sampling": msgspec.json.encode(conversation.sampling).decode(),
        "adapters": msgspec.json.encode(conversation.adapters).decode(),
        "tags": msgspec.json.encode(clean_tags(conversation.tags)).decode(),
        "stop": encode_json(conversation.stop),
    }


def message_columns(message: Message) -> dict[str, Any]:
    """The columns of the row of ``message``."""
    made = message.provenance
    columns = msgspec.structs.asdict(message)
    del columns["made"]  # a part of the provenance
    return {
        **columns,
        "text": clean_text(message.text),
        "reasoning": clean_text(message.reasoning),
        "ids": pack_ids(message.ids),
        "provenance": None if made is None else msgspec.json.encode(made).decode(),
        "mark": MARK_NUMBERS[message.mark],
        "name": clean_line(message.name) or None,
        "attachments": encode_json(message.attachments) if message.attachments else None,
        "form": encode_json(message.form) if message.form is not None else None,
    }


def encode_json(value: object) -> str:
    """``value`` as a column of JSON stores it."""
    return msgspec.json.encode(value).decode()


def pack_ids(ids: Sequence[int] | None) -> bytes | None:
    """``ids`` as the column ``ids`` stores them: int32, little-endian."""
    if ids is None:
        return None
    packed = array.array("i", ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack_ids(raw: bytes | None) -> list[int] | None:
    """The ids in the column ``ids``; None if there are none."""
    if raw is None or len(raw) % array.array("i").itemsize:
        return None
    ids = array.array("i", raw)
    if sys.byteorder == "big":
        ids.byteswap()
    return ids.tolist()


def read_tags(raw: str) -> list[str]:
    """The names in the column ``tags``."""
    return [] if raw == NO_TAGS else clean_tags(_read_json(raw, list[str]) or ())


def read_mark(number: int | None) -> Mark | None:
    """The mark in the column ``mark``."""
    return _MARKS.get(number)


def read_adapters(raw: str) -> dict[str, float]:
    """The scales in the column ``adapters``, by the name of the adapter."""
    return _read_json(raw, dict[str, Scale]) or {}


def read_parent(id: int, parent_id: int | None) -> int | None:
    """``parent_id``, which is older than ``id``; so no path goes in a circle."""
    return parent_id if parent_id is not None and parent_id < id else None


def _read_name(value: str | None) -> str | None:
    return None if value is None else clean_line(value)


def _read_title_source(value: str) -> TitleSource:
    return next((source for source in get_args(TitleSource) if source == value), "person")


def _read_attachments(raw: str | None, text: str) -> tuple[Attachment, ...]:
    """The attachments in ``text``; none if they cannot be read."""
    if raw is None:
        return ()
    attachments = _read_json(raw, tuple[Attachment, ...]) or ()
    named = [replace(a, name=clean_line(a.name), note=clean_line(a.note)) for a in attachments]
    return valid_attachments(named, text)


def _read_form(raw: str | None) -> OutputForm | None:
    form = _read_json(raw, OutputForm)
    return None if form is None else replace(form, name=clean_line(form.name))


def read_time(seconds: float) -> float:
    return min(max(seconds, 0.0), _LATEST) if math.isfinite(seconds) else 0.0


def _read_json(raw: str | None, type: type[Value]) -> Value | None:
    """The sanitized value; None if there is none of this type."""
    if raw is None:
        return None
    try:
        return msgspec.convert(clean_values(msgspec.json.decode(raw)), type)
    except JSON_ERRORS:
        return None


def _read_provenance(raw: str | None) -> dict[str, Any] | None:
    """How an answer was made; empty if it cannot be read.

    Only an answer that a person wrote has none at all.
    """
    return None if raw is None else _read_json(raw, dict[str, Any]) or {}


def _read_summary(raw: str | None) -> AnswerSummary | None:
    """What is shown of a provenance; None if it cannot be read.

    It is decoded alone: thousands of answers are read to open a long conversation.
    """
    if raw is None:
        return None
    try:
        made = _decode_summary(raw)
    except JSON_ERRORS:
        return None
    adapters = {clean_line(name): scale for name, scale in made.adapters.items()}
    form = made.form
    if form is not None:
        form = CheckedForm(form.kind, clean_line(form.name), clean_line(form.problem))
    return replace(made, model=clean_line(made.model), adapters=adapters, form=form)
