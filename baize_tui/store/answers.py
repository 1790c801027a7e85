"""Writing answers: several times a second while they stream, and when they end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

import msgspec

from baize_tui.store.clients import is_running
from baize_tui.store.database import Database
from baize_tui.store.errors import StoreError
from baize_tui.store.records import AnswerContent, FinalState, Provenance
from baize_tui.store.rows import pack_ids

NOW_OR_LATER = "max(?, (SELECT max(updated_at) + 1e-6 FROM conversation))"
"""The given time, or just after all others if the clock went back: the last used comes first."""


_COPY_MODEL_HASH = """
UPDATE conversation SET model_sha256 = made.sha256
FROM (SELECT conversation_id,
             json_extract(provenance, '$.model_path') AS path,
             json_extract(provenance, '$.model_sha256') AS sha256
      FROM message WHERE id = ?) AS made
WHERE id = made.conversation_id AND model_path = made.path AND model_sha256 IS NULL
"""
"""From an answer to its conversation, if that is with this model and has no hash yet."""


class AnswerWriter:
    """Writes to the answers in a database; ``Store.add_message`` adds them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def resume(self, message_id: int) -> None:
        """Mark a message that was stopped or interrupted as streaming again."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE message SET state = 'streaming', writer = ? WHERE id = ?",
                (self._database.client_name, message_id),
            )

    def journal(self, content: AnswerContent) -> None:
        """Write what an unfinished answer consists of so far."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE message SET text = ?, reasoning = ?, ids = ?, tokenizer = ? WHERE id = ?",
                (*_columns(content), content.message_id),
            )

    def finish(
        self, content: AnswerContent, state: FinalState, provenance: Provenance | None
    ) -> None:
        """Write an answer that has ended, and how it was made."""
        now = time.time()
        made = msgspec.json.encode(provenance).decode() if provenance is not None else None
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE message SET text = ?, reasoning = ?, ids = ?, tokenizer = ?, state = ?, "
                "provenance = ?, writer = NULL WHERE id = ?",
                (*_columns(content), state, made, content.message_id),
            )
            connection.execute(
                f"UPDATE conversation SET updated_at = {NOW_OR_LATER} "
                "WHERE id = (SELECT conversation_id FROM message WHERE id = ?)",
                (now, content.message_id),
            )
            connection.execute(_COPY_MODEL_HASH, (content.message_id,))

    def set_model_hash(self, message_id: int, sha256: str) -> None:
        """Add the hash of the model file to an answer's provenance, once it is known.

        Its conversation gets the hash too, if that is with this model and has none yet.
        """
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE message SET provenance = json_set(provenance, '$.model_sha256', ?) "
                "WHERE id = ? AND provenance IS NOT NULL",
                (sha256, message_id),
            )
            connection.execute(_COPY_MODEL_HASH, (message_id,))

    def rescue(self, contents: Sequence[AnswerContent], limit_s: float) -> None:
        """Write answers that still stream as stopped, while other threads may hang in this store.

        Raises:
            StoreError: they cannot be written within ``limit_s`` seconds.
        """
        file = self._database.file
        if file is None or not contents:
            return
        with self._database.separate_transaction(file, limit_s) as connection:
            connection.executemany(
                "UPDATE message SET text = ?, reasoning = ?, ids = ?, tokenizer = ?, "
                "state = 'stopped', writer = NULL WHERE id = ? AND state = 'streaming'",
                [(*_columns(content), content.message_id) for content in contents],
            )

    def mark_interrupted(self) -> None:
        """Mark the streaming answers of clients that no longer run as interrupted."""
        if self._database.file is None:
            return
        clients = self._database.clients_folder
        writers = self._database.rows(
            "SELECT DISTINCT writer FROM message WHERE state = 'streaming'"
        )
        dead = [row["writer"] for row in writers if not is_running(clients, row["writer"] or "")]
        if not dead:
            return
        # What cannot be written now can still be read: the disk is full, or the file is locked.
        with contextlib.suppress(StoreError), self._database.transaction() as connection:
            connection.executemany(
                "UPDATE message SET state = 'interrupted', writer = NULL "
                "WHERE state = 'streaming' AND writer IS ?",
                [(writer,) for writer in dead],
            )


def _columns(content: AnswerContent) -> tuple[str, str, bytes | None, str | None]:
    """The columns text, reasoning, ids and tokenizer."""
    return content.text, content.reasoning, pack_ids(content.ids), content.tokenizer
