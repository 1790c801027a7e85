"""What the person does with whole conversations: tag, pin, archive, remove for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from baize_tui.store.database import Database
from baize_tui.store.errors import UnknownConversation
from baize_tui.store.rows import read_tags
from baize_tui.store.search_index import SearchIndex
from baize_tui.store.tags import clean_tags, tag_key

_Flag = Literal["pinned", "archived"]
_AT_ONCE = 500
"""Conversations that one transaction removes: other clients can write between two."""
_CHOSEN = "IN (SELECT value FROM json_each(?))"


class Organizer:
    """Changes the conversations of a database. Methods that take one id raise
    ``UnknownConversation`` when there is none."""

    def __init__(self, database: Database, index: SearchIndex) -> None:
        self._database = database
        self._index = index

    # --- tags, pins, archive --------------------------------------------------------------------

    def change_tags(
        self, conversation_id: str, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> list[str]:
        """Add tags and remove others; returns all that the conversation has then."""
        removed = {tag_key(tag) for tag in clean_tags(remove)}
        # In one transaction: another client may change them, too.
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT tags FROM conversation WHERE id = ?", (conversation_id,)
            ).fetchone()
            if row is None:
                raise UnknownConversation.with_id(conversation_id)
            tags = [
                tag for tag in clean_tags([*read_tags(row[0]), *add]) if tag_key(tag) not in removed
            ]
            connection.execute(
                "UPDATE conversation SET tags = ? WHERE id = ?",
                (msgspec.json.encode(tags).decode(), conversation_id),
            )
        return tags

    def set_pinned(self, conversation_id: str, pinned: bool) -> None:
        """Keep a conversation at the top of the list, or no longer."""
        self._set_flag(conversation_id, "pinned", pinned)

    def set_archived(self, conversation_id: str, archived: bool) -> None:
        """Leave a conversation out of the list, or put it back."""
        self._set_flag(conversation_id, "archived", archived)

    def _set_flag(self, conversation_id: str, column: _Flag, value: bool) -> None:
        with self._database.transaction() as connection:
            changed = connection.execute(
                f"UPDATE conversation SET {column} = ? WHERE id = ?", (value, conversation_id)
            ).rowcount
        if not changed:
            raise UnknownConversation.with_id(conversation_id)

    # --- removing -------------------------------------------------------------------------------

    def purge(self, conversation_ids: Sequence[str]) -> list[str]:
        """Remove deleted conversations for good, with everything that is stored of them; returns
        the ids of those that were removed. Others, which are not deleted, stay.

        Their words are also overwritten in the index and in the file (``Database``).
        """
        removed: list[str] = []
        for first in range(0, len(conversation_ids), _AT_ONCE):
            removed += self._purge_some(conversation_ids[first : first + _AT_ONCE])
        if removed:
            self._index.forget_removed()
            self._database.overwrite_removed()
        return removed

    def _purge_some(self, conversation_ids: Sequence[str]) -> list[str]:
        asked = msgspec.json.encode(list(conversation_ids)).decode()
        with self._database.transaction() as connection:
            rows = connection.execute(
                f"SELECT id FROM conversation WHERE id {_CHOSEN} AND deleted_at IS NOT NULL",
                (asked,),
            )
            found = [id for (id,) in rows]
            chosen = (msgspec.json.encode(found).decode(),)
            # The pastes of unsent words go with them. Messages point to each other: all at once.
            connection.execute(f"DELETE FROM unsent WHERE conversation_id {_CHOSEN}", chosen)
            connection.execute(f"DELETE FROM message WHERE conversation_id {_CHOSEN}", chosen)
            connection.execute(f"DELETE FROM conversation WHERE id {_CHOSEN}", chosen)
        return found
