"""Whole conversations: read with all branches, and added as they are in another file."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from baize_tui.store.database import Database
from baize_tui.store.records import Conversation, ConversationTree, Message
from baize_tui.store.rows import conversation_columns, message_columns, read_message
from baize_tui.store.visible import visible_messages


class TreeStore:
    """Reads and adds the trees of conversations in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, conversation: Conversation) -> ConversationTree:
        """``conversation`` with the messages of all its branches.

        Without deleted messages and what is below them; an answer that still streams is as it is
        now, and interrupted.
        """
        rows = self._database.rows(
            "SELECT * FROM message WHERE conversation_id = ? ORDER BY id", conversation.id
        )
        numbers: dict[int | None, int] = {}
        messages: list[Message] = []
        for row in visible_messages(rows):
            message = read_message(row)
            if message.parent_id is not None and message.parent_id not in numbers:
                continue  # another program removed the one before it
            numbers[message.id] = len(messages) + 1
            messages.append(
                msgspec.structs.replace(
                    message,
                    id=numbers[message.id],
                    parent_id=numbers.get(message.parent_id),
                    state="interrupted" if message.state == "streaming" else message.state,
                    made=None,  # the provenance has all of it
                )
            )
        fields = msgspec.structs.asdict(conversation)
        fields["leaf_id"] = numbers.get(conversation.leaf_id)
        fields["context_start"] = numbers.get(conversation.context_start)
        return ConversationTree(**fields, messages=messages)

    def deleted(self) -> dict[str, bool]:
        """The ids of all conversations, and whether each is deleted."""
        rows = self._database.rows("SELECT id, deleted_at IS NOT NULL AS gone FROM conversation")
        return {row["id"]: bool(row["gone"]) for row in rows}

    def add(self, trees: Sequence[ConversationTree]) -> set[str]:
        """Add the conversations whose ids are new here, all of them or none; returns their ids.

        Raises:
            StoreError: they cannot be written.
        """
        added = set()
        with self._database.transaction() as connection:
            for tree in trees:
                here = "SELECT 1 FROM conversation WHERE id = ?"
                if connection.execute(here, (tree.id,)).fetchone() is None:
                    _add_tree(connection, tree)
                    added.add(tree.id)
        return added


def _add_tree(connection: sqlite3.Connection, tree: ConversationTree) -> None:
    # Its pointers into the tree follow, once the messages have their numbers.
    columns = {**conversation_columns(tree), "leaf_id": None, "context_start": None}
    _insert(connection, "conversation", columns)
    numbers: dict[int | None, int | None] = {None: None}
    for message in tree.messages:
        columns = {
            **message_columns(message),
            "conversation_id": tree.id,
            "parent_id": numbers[message.parent_id],
        }
        del columns["id"]
        numbers[message.id] = _insert(connection, "message", columns)
    connection.execute(
        "UPDATE conversation SET leaf_id = ?, context_start = ? WHERE id = ?",
        (numbers[tree.leaf_id], numbers[tree.context_start], tree.id),
    )


def _insert(connection: sqlite3.Connection, table: str, columns: Mapping[str, Any]) -> int | None:
    """Insert a row; returns its number."""
    places = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"
    return connection.execute(statement, tuple(columns.values())).lastrowid
