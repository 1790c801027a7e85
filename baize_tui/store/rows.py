"""How the rows of the tables become records, and token ids bytes."""

from __future__ import annotations

import array
import sqlite3
import sys
from collections.abc import Sequence

import msgspec

from baize_tui.store.records import Conversation, Mark, Message

MARK_NUMBERS: dict[Mark | None, int | None] = {"good": 1, "bad": -1, None: None}
"""How the column ``mark`` stores a mark."""
_MARKS = {number: mark for mark, number in MARK_NUMBERS.items()}


def read_conversation(row: sqlite3.Row) -> Conversation:
    return Conversation(
        id=row["id"],
        title=row["title"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        leaf_id=row["leaf_id"],
        context_start=row["context_start"],
        model=row["model"],
        system=row["system"],
        moderation=bool(row["moderation"]),
        format=row["format"],
        sampling=msgspec.json.decode(row["sampling"]),
        overflow=row["overflow"],
        adapters=msgspec.json.decode(row["adapters"]),
        model_path=row["model_path"],
        model_sha256=row["model_sha256"],
        think=None if row["think"] is None else bool(row["think"]),
    )


def read_message(row: sqlite3.Row) -> Message:
    return Message(
        id=row["id"],
        conversation_id=row["conversation_id"],
        parent_id=row["parent_id"],
        role=row["role"],
        state=row["state"],
        text=row["text"],
        reasoning=row["reasoning"],
        ids=unpack_ids(row["ids"]),
        tokenizer=row["tokenizer"],
        created_at=row["created_at"],
        provenance=msgspec.json.decode(row["provenance"]) if row["provenance"] else None,
        mark=_MARKS[row["mark"]],
        pinned=bool(row["pinned"]),
    )


def pack_ids(ids: Sequence[int] | None) -> bytes | None:
    """``ids`` as the column ``ids`` stores them: int32, little-endian."""
    if ids is None:
        return None
    packed = array.array("i", ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack_ids(raw: bytes | None) -> list[int] | None:
    if raw is None:
        return None
    ids = array.array("i", raw)
    if sys.byteorder == "big":
        ids.byteswap()
    return ids.tolist()
