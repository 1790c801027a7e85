"""Which messages are visible: those that are not deleted, and are not below a deleted one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence, Set

import msgspec

from baize_tui.store.database import Database

_ABOVE = """
WITH RECURSIVE above(id) AS (
    SELECT value FROM json_each(?)
    UNION SELECT message.parent_id FROM above JOIN message ON message.id = above.id
    WHERE message.parent_id < message.id
)
SELECT message.id, message.parent_id, message.deleted_at IS NOT NULL AS is_deleted
FROM above JOIN message ON message.id = above.id
"""


def visible_messages(rows: Iterable[sqlite3.Row]) -> Iterator[sqlite3.Row]:
    """The visible ones of ``rows``, all messages of a conversation by their numbers."""
    hidden: set[int] = set()
    for row in rows:
        if row["deleted_at"] is not None or row["parent_id"] in hidden:
            hidden.add(row["id"])
        else:
            yield row


def without_deleted(database: Database, rows: Sequence[sqlite3.Row]) -> Iterator[sqlite3.Row]:
    """The visible ones of ``rows``, messages of any conversations.

    Raises:
        StoreError: the file cannot be read.
    """
    if not rows:
        return
    ids = msgspec.json.encode([row["id"] for row in rows]).decode()
    above = {row["id"]: row for row in database.rows(_ABOVE, ids)}
    deleted = {id for id, row in above.items() if row["is_deleted"]}
    if not deleted:
        yield from rows
        return
    parents = {id: row["parent_id"] for id, row in above.items()}
    yield from (row for row in rows if not _is_below(row["id"], deleted, parents))


def _is_below(id: int | None, deleted: Set[int], parents: dict[int, int | None]) -> bool:
    """Whether ``id`` or a message before it is among ``deleted``."""
    while id is not None:
        if id in deleted:
            return True
        parent = parents.get(id)
        id = parent if parent is not None and parent < id else None
    return False
