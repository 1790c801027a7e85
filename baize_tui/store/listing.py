"""Lists of conversations: only what a list shows is read, so that thousands take little time."""

from __future__ import annotations

from baize_tui.store.database import Database
from baize_tui.store.records import ListedConversation
from baize_tui.store.rows import NO_TAGS, read_listed, read_tags

_COLUMNS = "id, title, title_source, updated_at, tags, pinned, archived, deleted_at"
_LATEST_FIRST = "ORDER BY updated_at DESC, rowid DESC LIMIT ?"
_ALL = -1
"""A limit that is none."""


class Listing:
    """Reads the lists in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self, limit: int | None = None) -> list[ListedConversation]:
        """Those that are neither archived nor deleted: pinned ones first, else the last used
        first. With a ``limit``, all pinned ones and at most so many others."""
        is_listed = "deleted_at IS NULL AND archived = 0"
        return [
            *self._read(f"{is_listed} AND pinned <> 0", None),
            *self._read(f"{is_listed} AND pinned = 0", limit),
        ]

    def archived(self) -> list[ListedConversation]:
        """Those that are archived and not deleted, the last used first."""
        return self._read("deleted_at IS NULL AND archived <> 0", None)

    def deleted(self) -> list[ListedConversation]:
        """Those in the trash, the last deleted first."""
        trash = self._read("deleted_at IS NOT NULL", None)
        return sorted(trash, key=lambda listed: -(listed.deleted_at or 0))

    def tags(self) -> dict[str, int]:
        """All tags of conversations that are not deleted, with how many have each, by name."""
        rows = self._database.rows(
            "SELECT tags FROM conversation WHERE deleted_at IS NULL AND tags <> ?", NO_TAGS
        )
        counts: dict[str, int] = {}
        for row in rows:
            for tag in read_tags(row["tags"]):
                counts[tag] = counts.get(tag, 0) + 1
        return dict(sorted(counts.items(), key=lambda tag: tag[0].casefold()))

    def _read(self, condition: str, limit: int | None) -> list[ListedConversation]:
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM conversation WHERE {condition} {_LATEST_FIRST}",
            _ALL if limit is None else limit,
        )
        return [read_listed(row) for row in rows]
