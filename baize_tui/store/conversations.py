"""The queries: conversations, their messages, and the branches that these form."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from baize_shared.sanitizer import clean_line, clean_text
from baize_tui.output_forms import OutputForm
from baize_tui.store.answers import NOW_OR_LATER, AnswerWriter
from baize_tui.store.branches import BranchReader
from baize_tui.store.database import Database
from baize_tui.store.draft_parts import message_parts
from baize_tui.store.errors import UnknownConversation, UnknownMessage
from baize_tui.store.listing import Listing
from baize_tui.store.organizing import Organizer
from baize_tui.store.records import (
    Attachment,
    BranchPosition,
    Conversation,
    DraftParts,
    Mark,
    Message,
    MessageRole,
    MessageState,
    TitleSource,
)
from baize_tui.store.rows import (
    MARK_NUMBERS,
    encode_json,
    pack_ids,
    read_conversation,
    read_message,
)
from baize_tui.store.search_index import SearchIndex
from baize_tui.store.trees import TreeStore
from baize_tui.store.unsent import UnsentStore
from baize_tui.store.visible import visible_messages, without_deleted
from baize_tui.translation import msg, tr

if TYPE_CHECKING:
    from baize_tui.store.search import Searcher

NEW_TITLE = "New conversation"
"""Shown for a conversation without a title."""
_WITHOUT_IDS = (
    "message.id, conversation_id, message.parent_id, role, state, text, reasoning, NULL AS ids, "
    "NULL AS tokenizer, created_at, provenance, mark, pinned, summary, name, attachments, form"
)
_QUESTIONS = f"""
SELECT {_WITHOUT_IDS}
FROM message WHERE role = 'user' AND message.id < ? AND EXISTS (
    SELECT 1 FROM conversation WHERE conversation.id = conversation_id AND deleted_at IS NULL
)
ORDER BY message.id DESC LIMIT ?
"""
_LAST = 1 << 62
"""Above the number of any message."""
AMBIGUOUS = msg("more than one conversation begins with {id}; give more of the id")
_ConversationColumn = Literal["deleted_at", "leaf_id"]
_MessageColumn = Literal["mark", "pinned", "summary", "name"]


class Store:
    """Conversations and messages in one file; ``answers`` writes those that stream, ``unsent``
    keeps what is not sent yet, ``trees`` reads and adds whole conversations, ``listing`` reads the
    lists of them, ``branch_reader`` the branches of one, ``organizer`` tags, archives and removes
    them, and ``searcher`` finds what ``search_index`` has.

    All methods may be called from any thread, and raise ``StoreError`` when the file cannot be
    read or written.
    """

    def __init__(self, file: Path | None) -> None:
        """Open ``file``, and mark what clients that no longer run left unfinished.

        None keeps everything in memory: nothing is written to disk.

        Raises:
            StoreError: no permission, or a newer program wrote the file.
        """
        self.database = Database(file)
        self.answers = AnswerWriter(self.database)
        self.unsent = UnsentStore(self.database)
        self.trees = TreeStore(self.database)
        self.search_index = SearchIndex(self.database)
        self.listing = Listing(self.database)
        self.branch_reader = BranchReader(self.database)
        self.organizer = Organizer(self.database, self.search_index)
        self.answers.mark_interrupted()

    @cached_property
    def searcher(self) -> Searcher:
        """Finds what ``search_index`` has; its modules are not needed for the first frame."""
        from baize_tui.store.search import Searcher

        return Searcher(self.database, self.search_index)

    @property
    def damaged_file(self) -> Path | None:
        """Where a damaged file was moved when this one was opened."""
        return self.database.damaged_file

    @property
    def why_read_only(self) -> str:
        """Why nothing can be saved, in one line; empty if it can."""
        return self.database.why_read_only

    def close(self) -> None:
        self.database.close()

    # --- conversations ----------------------------------------------------------------------------

    def new_conversation(
        self,
        *,
        system: str,
        moderation: bool,
        model: str | None = None,
        format: str | None = None,
        title: str = "",
        adapters: Mapping[str, float] = {},
        model_path: str | None = None,
        model_sha256: str | None = None,
    ) -> Conversation:
        """Create a conversation; what is not among the arguments is set by ``set_options``."""
        now = time.time()
        conversation_id = uuid.uuid4().hex[:12]
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO conversation (id, title, created_at, updated_at, model, system, "
                "moderation, format, adapters, model_path, model_sha256, title_source) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    conversation_id,
                    clean_line(title) or NEW_TITLE,
                    now,
                    now,
                    model,
                    clean_text(system),
                    moderation,
                    format,
                    msgspec.json.encode(adapters).decode(),
                    model_path,
                    model_sha256,
                    "person" if clean_line(title) else "none",
                ),
            )
        return self.conversation(conversation_id)

    def conversations(self, *, deleted: bool = False) -> list[Conversation]:
        """The conversations, last used first; with ``deleted`` the deleted ones instead."""
        condition = "IS NOT NULL" if deleted else "IS NULL"
        rows = self.database.rows(
            f"SELECT * FROM conversation WHERE deleted_at {condition} "
            "ORDER BY updated_at DESC, rowid DESC"
        )
        return [read_conversation(row) for row in rows]

    def conversation(self, conversation_id: str) -> Conversation:
        """The conversation with this id, or with the only id that begins so; also a deleted one.

        Raises:
            UnknownConversation: there is none, or more than one.
        """
        pattern = conversation_id.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        rows = self.database.rows(
            r"SELECT * FROM conversation WHERE id LIKE ? ESCAPE '\' LIMIT 2", f"{pattern}%"
        )
        if not rows or not conversation_id:
            raise UnknownConversation.with_id(clean_line(conversation_id))
        if len(rows) > 1:
            raise UnknownConversation(tr(AMBIGUOUS, id=repr(conversation_id)))
        return read_conversation(rows[0])

    def rename(self, conversation_id: str, title: str, source: TitleSource = "person") -> None:
        """Set the title that the person wrote or asked for; an empty one is none."""
        title = clean_line(title)
        with self.database.transaction() as connection:
            changed = connection.execute(
                "UPDATE conversation SET title = ?, title_source = ? WHERE id = ?",
                (title or NEW_TITLE, source if title else "none", conversation_id),
            ).rowcount
        if not changed:
            raise UnknownConversation.with_id(conversation_id)

    def set_automatic_title(self, conversation_id: str, title: str, source: TitleSource) -> bool:
        """Set a title that nobody asked for; False if there is one from ``source`` already, or
        from a better one, such as the person."""
        worse = get_args(TitleSource)[: get_args(TitleSource).index(source)]
        with self.database.transaction() as connection:
            changed = connection.execute(
                "UPDATE conversation SET title = ?, title_source = ? WHERE id = ? "
                f"AND title_source IN ({', '.join('?' * len(worse))})",
                (clean_line(title) or NEW_TITLE, source, conversation_id, *worse),
            ).rowcount
        return bool(changed)

    def delete(self, conversation_id: str) -> None:
        """Put the conversation into the trash; ``undelete`` restores it with all its messages."""
        self._set_conversation_column(conversation_id, "deleted_at", time.time())

    def undelete(self, conversation_id: str) -> None:
        self._set_conversation_column(conversation_id, "deleted_at", None)

    def set_options(self, conversation: Conversation) -> None:
        """Save model, system prompt, moderation, format, sampling, overflow, adapters, thinking,
        persona and stop strings of ``conversation``, and none of its other fields."""
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE conversation SET model = ?, model_path = ?, model_sha256 = ?, system = ?, "
                "moderation = ?, format = ?, sampling = ?, overflow = ?, adapters = ?, think = ?, "
                "persona = ?, stop = ? WHERE id = ?",
                (
                    conversation.model,
                    conversation.model_path,
                    conversation.model_sha256,
                    clean_text(conversation.system),
                    conversation.moderation,
                    conversation.format,
                    msgspec.json.encode(conversation.sampling).decode(),
                    conversation.overflow,
                    msgspec.json.encode(conversation.adapters).decode(),
                    conversation.think,
                    clean_line(conversation.persona),
                    encode_json(conversation.stop),
                    conversation.id,
                ),
            )

    def set_first_model(self, conversation_id: str, name: str, path: str) -> None:
        """Save the model of a conversation that had none yet, or only the name of this one."""
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE conversation SET model = ?, model_path = ? "
                "WHERE id = ? AND model_path IS NULL AND coalesce(model, ?) = ?",
                (name, path, conversation_id, name, name),
            )

    def set_context_start(self, conversation_id: str, message_id: int, summary: str = "") -> None:
        """Save which message is the first that the model still sees, and what it is told in place
        of the turns above."""
        with self.database.transaction() as connection:
            changed = connection.execute(
                "UPDATE conversation SET context_start = ? WHERE id = ?",
                (message_id, conversation_id),
            ).rowcount
            connection.execute(
                "UPDATE message SET summary = ? WHERE id = ?",
                (clean_text(summary) or None, message_id),
            )
        if not changed:
            raise UnknownConversation.with_id(conversation_id)

    def set_leaf(self, conversation_id: str, message_id: int) -> None:
        """Show the branch that ends in ``message_id``."""
        self._set_conversation_column(conversation_id, "leaf_id", message_id)

    def _set_conversation_column(
        self, conversation_id: str, column: _ConversationColumn, value: object
    ) -> None:
        with self.database.transaction() as connection:
            changed = connection.execute(
                f"UPDATE conversation SET {column} = ? WHERE id = ?", (value, conversation_id)
            ).rowcount
        if not changed:
            raise UnknownConversation.with_id(conversation_id)

    def questions(self, limit: int = 200) -> list[DraftParts]:
        """At least ``limit`` of the messages that the person wrote in all conversations, if there
        are so many, latest first, without repetitions and without what was deleted."""
        written: dict[DraftParts, None] = {}
        before = _LAST
        while len(written) < limit:
            rows = self.database.rows(_QUESTIONS, before, limit)
            if not rows:
                break
            before = rows[-1]["id"]
            visible = without_deleted(self.database, rows)
            messages = (read_message(row, with_provenance=False) for row in visible)
            written |= dict.fromkeys(message_parts(message) for message in messages)
        return list(written)

    def version(self) -> int:
        """A number that changes when another client has written to the file."""
        return self.database.version

    # --- messages ---------------------------------------------------------------------------------

    def shown_messages(self, conversation_id: str) -> list[Message]:
        """The branch that is shown, from the first message to the leaf."""
        leaf = self.conversation(conversation_id).leaf_id
        return self.path(leaf) if leaf is not None else []

    def all_messages(self, conversation_id: str) -> list[Message]:
        """The messages of all branches, oldest first, without deleted ones and what is below."""
        rows = self.database.rows(
            "SELECT * FROM message WHERE conversation_id = ? ORDER BY id", conversation_id
        )
        return [read_message(row) for row in visible_messages(rows)]

    def path(self, message_id: int) -> list[Message]:
        """``message_id`` and the messages before it, oldest first."""
        return [
            read_message(row)
            for row in self.database.rows(_path_query("message.*"), message_id, -1)
        ]

    def path_end(self, message_id: int, limit: int) -> list[Message]:
        """The last ``limit`` messages of ``path``, without token ids and most of the provenance: so
        thousands are read in the time that it takes to draw one."""
        rows = self.database.rows(_path_query(_WITHOUT_IDS), message_id, limit)
        return [read_message(row, with_provenance=False) for row in rows]

    def message(self, message_id: int) -> Message:
        """The message with this number; also a deleted one.

        Raises:
            UnknownMessage: there is none.
        """
        rows = self.database.rows("SELECT * FROM message WHERE id = ?", message_id)
        if not rows:
            raise UnknownMessage(tr("no message has the number {number}", number=message_id))
        return read_message(rows[0])

    def add_message(
        self,
        conversation_id: str,
        parent_id: int | None,
        role: MessageRole,
        text: str,
        *,
        state: MessageState = "complete",
        ids: Sequence[int] | None = None,
        tokenizer: str | None = None,
        unsent: str | None = None,
        attachments: Sequence[Attachment] = (),
        form: OutputForm | None = None,
    ) -> Message:
        """Add a message below ``parent_id``, and show the branch that ends in it.

        ``unsent`` is the id of the draft that the message was, which ends with it.
        """
        now = time.time()
        with self.database.transaction() as connection:
            number = connection.execute(
                "INSERT INTO message (conversation_id, parent_id, role, state, text, ids, "
                "tokenizer, writer, created_at, attachments, form) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    conversation_id,
                    parent_id,
                    role,
                    state,
                    clean_text(text),
                    pack_ids(ids),
                    tokenizer,
                    self.database.client_name if state == "streaming" else None,
                    now,
                    encode_json(attachments) if attachments else None,
                    encode_json(form) if form is not None else None,
                ),
            ).lastrowid
            connection.execute(
                f"UPDATE conversation SET leaf_id = ?, updated_at = {NOW_OR_LATER}, "
                # Whoever writes in an archived conversation uses it again.
                "archived = archived AND ? <> 'user' WHERE id = ?",
                (number, now, role, conversation_id),
            )
            if unsent is not None:
                connection.execute("DELETE FROM unsent WHERE id = ?", (unsent,))
        assert number is not None
        return self.message(number)

    def set_mark(self, message_id: int, mark: Mark | None) -> None:
        """Save what the person thinks of an answer; None removes the mark."""
        self._set_message_column(message_id, "mark", MARK_NUMBERS[mark])

    def set_pinned(self, message_id: int, pinned: bool) -> None:
        """Save whether the message's turn stays in a full context."""
        self._set_message_column(message_id, "pinned", pinned)

    def set_branch_name(self, message_id: int, name: str) -> None:
        """Save what the person calls the branch that begins with a message; empty for nothing."""
        self._set_message_column(message_id, "name", clean_line(name) or None)

    def set_summary(self, message_id: int, summary: str) -> None:
        """Save what the model is told in place of the turns above a message."""
        self._set_message_column(message_id, "summary", clean_text(summary) or None)

    def _set_message_column(self, message_id: int, column: _MessageColumn, value: object) -> None:
        with self.database.transaction() as connection:
            connection.execute(f"UPDATE message SET {column} = ? WHERE id = ?", (value, message_id))

    # --- branches ---------------------------------------------------------------------------------

    def siblings(self, message_id: int) -> list[int]:
        """Numbers of the messages with the same parent, oldest first, this one included."""
        rows = self.database.rows(
            "SELECT other.id FROM message AS this JOIN message AS other "
            "ON other.conversation_id = this.conversation_id AND other.parent_id IS this.parent_id "
            "WHERE this.id = ? AND other.deleted_at IS NULL ORDER BY other.id",
            message_id,
        )
        return [row["id"] for row in rows]

    def leaf_below(self, message_id: int) -> int:
        """The newest message below ``message_id``, or ``message_id`` if there is none."""
        rows = self.database.rows(
            "WITH RECURSIVE below(id) AS ("
            "  SELECT ? UNION "  # not ALL, which would follow a circle forever
            "  SELECT message.id FROM message JOIN below ON message.parent_id = below.id "
            "  WHERE message.deleted_at IS NULL"
            ") SELECT max(id) FROM below",
            message_id,
        )
        return int(rows[0][0])

    def branches(self, conversation_id: str) -> dict[int, BranchPosition]:
        """The position of each message that has siblings, by its number."""
        rows = self.database.rows(
            "SELECT id, parent_id FROM message "
            "WHERE conversation_id = ? AND deleted_at IS NULL ORDER BY id",
            conversation_id,
        )
        children: dict[int | None, list[int]] = {}
        for row in rows:
            children.setdefault(row["parent_id"], []).append(row["id"])
        return {
            message: BranchPosition(position, len(siblings))
            for siblings in children.values()
            if len(siblings) > 1
            for position, message in enumerate(siblings, start=1)
        }

    def show_message(self, message_id: int) -> Conversation:
        """Show a branch with the message, unless it is on the one that is shown; returns its
        conversation."""
        conversation = self.conversation(self.message(message_id).conversation_id)
        if self._is_on_path(message_id, conversation.leaf_id):
            return conversation
        self.set_leaf(conversation.id, self.leaf_below(message_id))
        return self.conversation(conversation.id)

    def delete_message(self, message_id: int) -> None:
        """Hide a message and everything below it; ``undelete_message`` restores them.

        If it was shown, the branch of a sibling is shown afterwards, or the messages before it.
        """
        message = self.message(message_id)
        leaf = self.conversation(message.conversation_id).leaf_id
        if self._is_on_path(message_id, leaf):
            others = [sibling for sibling in self.siblings(message_id) if sibling != message_id]
            leaf = self.leaf_below(others[-1]) if others else message.parent_id
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE message SET deleted_at = ? WHERE id = ?", (time.time(), message_id)
            )
            connection.execute(
                "UPDATE conversation SET leaf_id = ? WHERE id = ?", (leaf, message.conversation_id)
            )

    def _is_on_path(self, message_id: int, leaf_id: int | None) -> bool:
        rows = self.database.rows(_path_query("message.id"), leaf_id, -1)
        return any(row["id"] == message_id for row in rows)

    def undelete_message(self, message_id: int, *, leaf_id: int | None = None) -> None:
        """Restore a deleted message, and show its branch, or the one that ends in ``leaf_id``."""
        message = self.message(message_id)
        with self.database.transaction() as connection:
            connection.execute("UPDATE message SET deleted_at = NULL WHERE id = ?", (message_id,))
        leaf = self.leaf_below(message_id) if leaf_id is None else leaf_id
        self.set_leaf(message.conversation_id, leaf)


def _path_query(columns: str) -> str:
    """A query for the end of a path; its values are the id of the last message and the limit."""
    return (
        "WITH RECURSIVE path(id, depth) AS ("
        "  SELECT ?, 1 UNION ALL "
        "  SELECT message.parent_id, depth + 1 FROM message JOIN path ON message.id = path.id "
        # A message is newer than the one before it, unless another program made a circle.
        "  WHERE message.parent_id < message.id LIMIT ?"
        f") SELECT {columns} FROM path JOIN message ON message.id = path.id ORDER BY depth DESC"
    )
