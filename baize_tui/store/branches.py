"""The branches of a conversation: where they begin, how they belong together, and their names."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from baize_shared.sanitizer import clean_line, clean_text
from baize_tui.store.database import Database
from baize_tui.store.records import BranchPosition, BranchRow, BranchStart
from baize_tui.store.rows import read_mark, read_parent, read_time
from baize_tui.store.search_index import model_name
from baize_tui.store.visible import visible_messages

_BEGINNING = 300
"""Characters of a message that are read."""


class BranchReader:
    """Reads the branches in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def branches(self, conversation_id: str, leaf_id: int | None) -> list[BranchRow]:
        """All branches of a conversation, each below the one that it leaves; ``leaf_id`` is the
        end of the one that is shown.

        A branch goes from its first message to the next place where the conversation branches.
        """
        rows = self._database.rows(
            "SELECT id, parent_id, deleted_at FROM message WHERE conversation_id = ? ORDER BY id",
            conversation_id,
        )
        visible = visible_messages(rows)
        tree = _Tree([(row["id"], read_parent(row["id"], row["parent_id"])) for row in visible])
        shown = set(tree.path(leaf_id))
        places = tree.branches()
        starts = {start.id: start for start in self._starts(place.id for place in places)}
        return [
            BranchRow(
                start=starts[place.id],
                position=place.position,
                guides=place.guides,
                messages=place.messages,
                end_id=place.end_id,
                leaf_id=tree.newest_below[place.id],
                shown=place.id in shown,
            )
            for place in places
        ]

    def _starts(self, ids: Iterable[int]) -> list[BranchStart]:
        rows = self._database.rows(
            f"SELECT id, role, state, substr(text, 1, {_BEGINNING}) AS text, created_at, mark, "
            "provenance, name FROM message WHERE id IN (SELECT value FROM json_each(?))",
            msgspec.json.encode(list(ids)).decode(),
        )
        return [_read_start(row) for row in rows]


def _read_start(row: sqlite3.Row) -> BranchStart:
    return BranchStart(
        id=row["id"],
        role=row["role"],
        state=row["state"],
        text=clean_text(row["text"]),
        created_at=read_time(row["created_at"]),
        model=clean_line(model_name(row["provenance"])),
        mark=read_mark(row["mark"]),
        name=clean_line(row["name"] or ""),
    )


class _Place(Struct, frozen=True):
    """Where a branch is in the tree; see ``BranchRow``."""

    id: int
    position: BranchPosition
    guides: tuple[bool, ...]
    messages: int
    end_id: int


class _Tree:
    """Messages by what is below them."""

    def __init__(self, messages: Sequence[tuple[int, int | None]]) -> None:
        """``messages`` are numbers and the numbers of those before them, in ascending order."""
        self._parents = dict(messages)
        self._children: dict[int | None, list[int]] = {}
        for id, parent in messages:
            self._children.setdefault(parent if parent in self._parents else None, []).append(id)
        self.newest_below = {id: id for id, _ in messages}
        for id, parent in reversed(messages):
            if parent in self.newest_below:
                newest = max(self.newest_below[parent], self.newest_below[id])
                self.newest_below[parent] = newest

    def path(self, id: int | None) -> list[int]:
        """``id`` and all before it."""
        path = []
        while id in self._parents:
            path.append(id)
            id = self._parents[id]
        return path

    def branches(self) -> list[_Place]:
        """The branches, each before those that leave it."""
        places: list[_Place] = []
        # A stack in place of recursion: branches can be nested a thousand times.
        waiting = self._siblings(None, ())
        while waiting:
            id, position, guides = waiting.pop()
            end, messages = id, 1
            while len(below := self._children.get(end, [])) == 1:
                end, messages = below[0], messages + 1
            places.append(_Place(id, position, guides, messages, end))
            waiting += self._siblings(end, guides)
        return places

    def _siblings(
        self, parent: int | None, above: tuple[bool, ...]
    ) -> list[tuple[int, BranchPosition, tuple[bool, ...]]]:
        """What begins after ``parent``, the last first."""
        ids = self._children.get(parent, [])
        is_trunk = parent is None and len(ids) == 1
        return [
            (
                id,
                BranchPosition(position, len(ids)),
                () if is_trunk else (*above, position < len(ids)),
            )
            for position, id in reversed([*enumerate(ids, start=1)])
        ]
